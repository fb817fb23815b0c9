"""What finds a user before anybody is signed in."""

from __future__ import annotations

from alembic import op

from storekeeper.migrations.operations import execute_verbatim

revision = "invest_0003"
down_revision = "invest_0002"
branch_labels = None
depends_on = None

# Row-level security shows nobody's rows to whom nobody vouches for yet. These run as the owner, and tell of one row
# only what the next step of signing in needs. What is no digest finds nothing: it is not even compared.
LOGIN_OF = """
CREATE FUNCTION invest.login_of(email text) RETURNS TABLE (id uuid, password_hash text)
LANGUAGE sql STABLE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
    SELECT u.id, u.password_hash::text FROM invest.users u
    WHERE lower(u.email) = lower(login_of.email) AND u.deleted_at IS NULL
$body$
"""
SESSION_OF = """
CREATE FUNCTION invest.session_of(token_digest text) RETURNS TABLE (id uuid, user_id uuid, expires_at timestamptz)
LANGUAGE sql STABLE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
    SELECT s.id, s.user_id, s.expires_at
    FROM invest.sessions s JOIN invest.users u ON u.id = s.user_id AND u.deleted_at IS NULL
    WHERE s.refresh_token = session_of.token_digest AND session_of.token_digest ~ '^[0-9a-f]{64}$'
$body$
"""
RESET_OF = """
CREATE FUNCTION invest.reset_of(token_digest text) RETURNS TABLE (id uuid, expires_at timestamptz)
LANGUAGE sql STABLE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
    SELECT u.id, u.password_reset_expires FROM invest.users u
    WHERE u.password_reset_token = reset_of.token_digest AND reset_of.token_digest ~ '^[0-9a-f]{64}$'
        AND u.deleted_at IS NULL
$body$
"""
VERIFICATION_OF = """
CREATE FUNCTION invest.verification_of(token_digest text) RETURNS TABLE (id uuid)
LANGUAGE sql STABLE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
    SELECT u.id FROM invest.users u
    WHERE u.email_verification_token = verification_of.token_digest
        AND verification_of.token_digest ~ '^[0-9a-f]{64}$' AND u.deleted_at IS NULL
$body$
"""
FUNCTIONS = ("login_of", "session_of", "reset_of", "verification_of")


def upgrade() -> None:
    for body in (LOGIN_OF, SESSION_OF, RESET_OF, VERIFICATION_OF):
        execute_verbatim(body)
    for function in FUNCTIONS:
        op.execute(f"REVOKE ALL ON FUNCTION invest.{function}(text) FROM PUBLIC")


def downgrade() -> None:
    for function in FUNCTIONS:
        op.execute(f"DROP FUNCTION invest.{function}(text)")
