"""Functions that see rows of others: who acts, who signs in, whose a token is, a role's change, a shared deal.

Each runs as the owner of the tables, so it gives out and changes no more than its name says, to whoever may call it.
"""

from __future__ import annotations

from alembic import op

from storekeeper.migrations.operations import execute_verbatim

revision = "deals_0006"
down_revision = "deals_0005"
branch_labels = None
depends_on = None

# The role of the user that the transaction names; NULL where it names none, or one whose account is not active.
ACTING_ROLE = """
CREATE FUNCTION deals.acting_role() RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
    SELECT u.role FROM deals.users u
    WHERE u.id = CAST(nullif(current_setting('app.current_user_id', true), '') AS uuid) AND u.status = 'active'
$body$
"""

LOGIN_OF = """
CREATE FUNCTION deals.login_of(of_email text) RETURNS TABLE (id uuid, hashed_password text, status text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
    SELECT u.id, u.hashed_password, u.status FROM deals.users u WHERE lower(u.email) = lower(of_email)
$body$
"""

# Of an active token that has not expired, of an active user; otherwise no row.
WHOSE_IT_IS = """
CREATE FUNCTION deals.token_owner(token_digest text, of_type text, at timestamptz)
RETURNS TABLE (id uuid, user_id uuid, scope text, expires_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
    SELECT t.id, t.user_id, t.scope, t.expires_at
    FROM deals.auth_tokens t JOIN deals.users u ON u.id = t.user_id
    WHERE t.token = token_digest AND t.token_type = of_type AND t.status = 'active' AND t.expires_at > at
      AND u.status = 'active'
$body$
"""

# Returns the role that the user had before; NULL where there is no such user. The audit log notes it, whoever calls.
CHANGE_ROLE = """
CREATE FUNCTION deals.change_role(of_user uuid, to_role text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
    before text;
BEGIN
    IF deals.acting_role() IS DISTINCT FROM 'admin' THEN
        RAISE EXCEPTION 'only an admin changes roles'
        USING ERRCODE = 'insufficient_privilege', SCHEMA = 'deals', TABLE = 'users', COLUMN = 'role';
    END IF;
    SELECT u.role INTO before FROM deals.users u WHERE u.id = of_user FOR UPDATE;
    IF FOUND THEN
        UPDATE deals.users u SET role = to_role WHERE u.id = of_user;
        INSERT INTO storekeeper.audit_log (action, subject, subject_id, detail)
        VALUES ('role_changed', 'deals.users', of_user, jsonb_build_object('from', before, 'to', to_role));
    END IF;
    RETURN before;
END
$body$
"""

# Likewise: whoever is suspended would otherwise end that themselves. It returns the status before.
CHANGE_STATUS = """
CREATE FUNCTION deals.change_status(of_user uuid, to_status text) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
    before text;
BEGIN
    IF deals.acting_role() IS DISTINCT FROM 'admin' THEN
        RAISE EXCEPTION 'only an admin changes the status of accounts'
        USING ERRCODE = 'insufficient_privilege', SCHEMA = 'deals', TABLE = 'users', COLUMN = 'status';
    END IF;
    SELECT u.status INTO before FROM deals.users u WHERE u.id = of_user FOR UPDATE;
    IF FOUND THEN
        UPDATE deals.users u SET status = to_status WHERE u.id = of_user;
        INSERT INTO storekeeper.audit_log (action, subject, subject_id, detail) VALUES (
            'staff_changed', 'deals.users', of_user,
            jsonb_build_object('what', 'status', 'from', before, 'to', to_status)
        );
    END IF;
    RETURN before;
END
$body$
"""

# Counts one click; no row where the link is unknown, was withdrawn or has expired. Recipients are not given out.
OPEN_SHARE = """
CREATE FUNCTION deals.open_share(of_link text, at timestamptz)
RETURNS TABLE (id uuid, deal_id uuid, share_type text, message text, click_count integer)
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
    UPDATE deals.shared_deals s SET click_count = s.click_count + 1
    WHERE s.public_link_id = of_link AND s.is_active AND (s.expires_at IS NULL OR s.expires_at > at)
    RETURNING s.id, s.deal_id, s.share_type, s.message, s.click_count
$body$
"""

SIGNATURES = (
    "deals.acting_role()",
    "deals.login_of(text)",
    "deals.token_owner(text, text, timestamptz)",
    "deals.change_role(uuid, text)",
    "deals.change_status(uuid, text)",
    "deals.open_share(text, timestamptz)",
)


def upgrade() -> None:
    for function in (ACTING_ROLE, LOGIN_OF, WHOSE_IT_IS, CHANGE_ROLE, CHANGE_STATUS, OPEN_SHARE):
        execute_verbatim(function)
    for signature in SIGNATURES:
        op.execute(f"REVOKE ALL ON FUNCTION {signature} FROM PUBLIC")


def downgrade() -> None:
    for signature in reversed(SIGNATURES):
        op.execute(f"DROP FUNCTION {signature}")
