"""Functions that change what users have: a posting to the ledger, and the redemption of a code.

Both say by an `outcome` what came of it, so that a refusal leaves the caller's transaction as it was.
"""

from __future__ import annotations

from alembic import op

from storekeeper.migrations.operations import execute_verbatim

revision = "deals_0007"
down_revision = "deals_0006"
branch_labels = None
depends_on = None

# In one round trip, with the rights of whoever calls. The user's row of balances is the lock: what is read after it
# was taken is what the posting before has committed. A goal's row is locked before it, by all who lock both.
#
# outcome: posted; repeated (the reference stands for the same posting: that one is returned); differs (it stands for
# another one); insufficient; budget (the goal may not cost that much); no_goal (there is no such goal of the user).
POST_TOKENS = """
CREATE FUNCTION deals.post_tokens(
    of_user uuid, of_type text, change numeric, of_reference uuid, of_text text, for_goal uuid, of_hash text,
    more jsonb, at timestamptz
) RETURNS TABLE (outcome text, posting deals.token_transactions)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
    held numeric(18,8);
    -- the clock's time under the lock: a user's postings have the order of their balances
    moment timestamptz;
BEGIN
    IF for_goal IS NOT NULL THEN
        PERFORM FROM deals.goals g WHERE g.id = for_goal AND g.user_id = of_user FOR NO KEY UPDATE;
        IF NOT FOUND THEN
            outcome := 'no_goal';
            RETURN NEXT;
            RETURN;
        END IF;
    END IF;
    SELECT b.balance INTO held FROM deals.user_token_balances b WHERE b.user_id = of_user FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        INSERT INTO deals.user_token_balances (user_id) VALUES (of_user) ON CONFLICT (user_id) DO NOTHING;
        SELECT b.balance INTO held FROM deals.user_token_balances b WHERE b.user_id = of_user FOR NO KEY UPDATE;
    END IF;
    IF of_reference IS NOT NULL THEN
        -- by the index of references whatever the statistics say: by the user's or by the time's it would be every row
        SELECT * INTO posting
        FROM (SELECT * FROM deals.token_transactions r WHERE r.reference_id = of_reference OFFSET 0) t
        WHERE t.user_id = of_user AND t.status = 'completed'
        ORDER BY t.created_at LIMIT 1;
        IF FOUND THEN
            outcome := CASE
                WHEN posting.type = of_type AND posting.amount = change
                    AND posting.goal_id IS NOT DISTINCT FROM for_goal THEN 'repeated'
                ELSE 'differs'
            END;
            RETURN NEXT;
            RETURN;
        END IF;
    END IF;
    IF held + change < 0 THEN
        outcome := 'insufficient';
        RETURN NEXT;
        RETURN;
    END IF;
    IF for_goal IS NOT NULL THEN
        UPDATE deals.goals g SET total_tokens_spent = greatest(g.total_tokens_spent - change, 0)
        WHERE g.id = for_goal AND (change > 0 OR g.max_tokens IS NULL OR g.total_tokens_spent - change <= g.max_tokens);
        IF NOT FOUND THEN
            outcome := 'budget';
            RETURN NEXT;
            RETURN;
        END IF;
    END IF;
    UPDATE deals.user_token_balances b SET
        balance = b.balance + change,
        lifetime_earned = b.lifetime_earned + greatest(change, 0),
        lifetime_spent = b.lifetime_spent + greatest(-change, 0)
    WHERE b.user_id = of_user;
    IF of_type = 'purchase' THEN
        UPDATE deals.users u SET last_payment_at = greatest(u.last_payment_at, at) WHERE u.id = of_user;
    END IF;
    moment := clock_timestamp();
    INSERT INTO deals.token_transactions AS t (
        user_id, type, amount, balance_after, status, description, goal_id, reference_id, tx_hash, created_at, meta_data
    )
    VALUES (
        of_user, of_type, change, held + change, 'completed', of_text, for_goal, of_reference, of_hash, moment, more
    )
    RETURNING t.* INTO posting;
    INSERT INTO deals.token_balance_history (
        user_id, balance_before, balance_after, change_amount, change_type, transaction_id, created_at
    )
    VALUES (of_user, held, held + change, change, of_type, posting.id, moment);
    outcome := 'posted';
    RETURN NEXT;
END
$body$
"""

# For the user that the transaction names; codes themselves are not to be seen. The code's row is locked before the
# balance, so that whoever comes at the same time counts after this one.
#
# outcome: posted; no_user (the transaction names none who is active); unknown; inactive; expired; exhausted; repeated
# (the user has redeemed it already: that posting is returned).
REDEEM_CODE = """
CREATE FUNCTION deals.redeem_code(of_code text, at timestamptz)
RETURNS TABLE (outcome text, posting deals.token_transactions)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
    acting uuid := CAST(nullif(current_setting('app.current_user_id', true), '') AS uuid);
    wanted deals.token_redemption_codes;
    made record;
BEGIN
    PERFORM FROM deals.users u WHERE u.id = acting AND u.status = 'active';
    IF NOT FOUND THEN
        outcome := 'no_user';
        RETURN NEXT;
        RETURN;
    END IF;
    SELECT * INTO wanted FROM deals.token_redemption_codes c WHERE c.code = of_code FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        outcome := 'unknown';
        RETURN NEXT;
        RETURN;
    END IF;
    SELECT * INTO posting
    FROM (SELECT * FROM deals.token_transactions r WHERE r.reference_id = wanted.id OFFSET 0) t
    WHERE t.user_id = acting AND t.type = 'redemption_code' LIMIT 1;
    outcome := CASE
        WHEN posting.id IS NOT NULL THEN 'repeated'
        WHEN NOT wanted.is_active THEN 'inactive'
        WHEN wanted.expires_at <= at THEN 'expired'
        WHEN wanted.redemptions_count >= wanted.max_redemptions THEN 'exhausted'
    END;
    IF outcome IS NULL THEN
        SELECT * INTO made
        FROM deals.post_tokens(acting, 'redemption_code', wanted.token_amount, wanted.id, NULL, NULL, NULL, '{}', at);
        outcome := made.outcome;
        posting := made.posting;
        IF outcome = 'posted' THEN
            UPDATE deals.token_redemption_codes c SET redemptions_count = c.redemptions_count + 1
            WHERE c.id = wanted.id;
        END IF;
    END IF;
    RETURN NEXT;
END
$body$
"""

# A code is money: only an admin makes one, or ends it, and the audit log notes it.
MAKE_CODE = """
CREATE FUNCTION deals.make_code(of_code text, amount integer, times integer, until timestamptz) RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
    made uuid;
BEGIN
    IF deals.acting_role() IS DISTINCT FROM 'admin' THEN
        RAISE EXCEPTION 'only an admin makes redemption codes'
        USING ERRCODE = 'insufficient_privilege', SCHEMA = 'deals', TABLE = 'token_redemption_codes';
    END IF;
    INSERT INTO deals.token_redemption_codes (code, token_amount, max_redemptions, expires_at, created_by)
    VALUES (of_code, amount, times, until, CAST(current_setting('app.current_user_id') AS uuid))
    RETURNING id INTO made;
    INSERT INTO storekeeper.audit_log (action, subject, subject_id, detail) VALUES (
        'staff_changed', 'deals.token_redemption_codes', made, jsonb_build_object('what', 'made', 'amount', amount)
    );
    RETURN made;
END
$body$
"""

END_CODE = """
CREATE FUNCTION deals.end_code(of_id uuid) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
BEGIN
    IF deals.acting_role() IS DISTINCT FROM 'admin' THEN
        RAISE EXCEPTION 'only an admin ends redemption codes'
        USING ERRCODE = 'insufficient_privilege', SCHEMA = 'deals', TABLE = 'token_redemption_codes';
    END IF;
    UPDATE deals.token_redemption_codes c SET is_active = false WHERE c.id = of_id;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    INSERT INTO storekeeper.audit_log (action, subject, subject_id, detail)
    VALUES ('staff_changed', 'deals.token_redemption_codes', of_id, jsonb_build_object('what', 'ended'));
    RETURN true;
END
$body$
"""

SIGNATURES = (
    "deals.redeem_code(text, timestamptz)",
    "deals.make_code(text, integer, integer, timestamptz)",
    "deals.end_code(uuid)",
)


def upgrade() -> None:
    for function in (POST_TOKENS, REDEEM_CODE, MAKE_CODE, END_CODE):
        execute_verbatim(function)
    for signature in SIGNATURES:
        op.execute(f"REVOKE ALL ON FUNCTION {signature} FROM PUBLIC")


def downgrade() -> None:
    for signature in reversed(SIGNATURES):
        op.execute(f"DROP FUNCTION {signature}")
    op.execute("DROP FUNCTION deals.post_tokens(uuid, text, numeric, uuid, text, uuid, text, jsonb, timestamptz)")
