"""The first rows of the rooms domain: two rooms, and the NFTs that are traded in them. No agents, no deals.

Token ids, names, contracts and the addresses of the tokens' metadata are those of the collections on Ethereum.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import NAMESPACE_URL, UUID, uuid5

from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from storekeeper.domains.rooms.entities import Nft, Room


@dataclass(frozen=True)
class Collection:
    """A collection whose tokens a room trades; `tokens` are how many of its first ones, from 0."""

    name: str
    title: str
    token_name: str
    contract: str
    token_uri: str
    supply: int
    tokens: int

    @property
    def room_id(self) -> UUID:
        """Always the same: rooms have no other natural key by which a second run could know them."""
        return uuid5(NAMESPACE_URL, f"storekeeper/rooms/{self.name}")


COLLECTIONS = (
    Collection(
        name="BAYC",
        title="Bored Ape Yacht Club",
        token_name="Bored Ape Yacht Club #{}",  # noqa: S106  # a token of a collection, and no secret
        contract="0xBC4CA0EdA7647A8aB7C2061c2E118A18a936f13D",
        token_uri="ipfs://QmeSjSinHpPnmXmspMjwiXyN6zS4E9zccariGR3jxcaWtq/{}",  # noqa: S106  # as above
        supply=10_000,
        tokens=25,
    ),
    Collection(
        name="Cool Cats",
        title="Cool Cats NFT",
        token_name="Cool Cat #{}",  # noqa: S106  # as above
        contract="0x1A92f7381B9F03921564a437210bB9396471050C",
        token_uri="https://api.coolcatsnft.com/cat/{}",  # noqa: S106  # as above
        supply=9_999,
        tokens=10,
    ),
)


def seed(session: Session) -> dict[str, int]:
    """Writes the rooms and NFTs that are not there yet; how many of each were made. What is there stays as it is."""
    rooms = [{"id": one.room_id, "name": one.name, "collection": one.name} for one in COLLECTIONS]
    opened = session.scalars(insert(Room).on_conflict_do_nothing(index_elements=["id"]).returning(Room.id), rooms).all()
    tokens = [
        {
            "collection": one.name,
            "token_id": str(token),
            "name": one.token_name.format(token),
            "description": f"{one.title}, token {token} of {one.supply}",
            "meta": {"contract": one.contract, "standard": "ERC-721", "token_uri": one.token_uri.format(token)},
        }
        for one in COLLECTIONS
        for token in range(one.tokens)
    ]
    made = session.scalars(
        insert(Nft).on_conflict_do_nothing(constraint="uq_nfts_collection_token").returning(Nft.id), tokens
    ).all()
    return {"rooms.rooms": len(opened), "rooms.nfts": len(made)}
