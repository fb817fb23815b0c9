"""The relational entities of the rooms domain, to the letter of its data dictionary: one file a topic."""

from storekeeper.domains.rooms.entities.agents import Agent, AgentPerformance
from storekeeper.domains.rooms.entities.base import Base
from storekeeper.domains.rooms.entities.deals import Deal
from storekeeper.domains.rooms.entities.messages import Message
from storekeeper.domains.rooms.entities.rooms import Nft, Room
from storekeeper.domains.rooms.entities.swarms import Swarm
from storekeeper.domains.rooms.entities.users import User

__all__ = ["Agent", "AgentPerformance", "Base", "Deal", "Message", "Nft", "Room", "Swarm", "User"]
