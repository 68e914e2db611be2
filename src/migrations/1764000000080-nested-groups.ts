import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Levels of a tree of groups, its root included; what is deeper is hard to read for people and dear to walk. */
const MAX_DEPTH = 8;

/** Groups may lie in groups of the same tenant. What a group means to its members' topics stays flat; rights of people run down the tree. */
export class NestedGroups1764000000080 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      ALTER TABLE groups ADD COLUMN parent_id uuid,
        ADD CONSTRAINT groups_parent_fkey FOREIGN KEY (tenant_id, parent_id) REFERENCES groups (tenant_id, id)`);
    await runner.query('CREATE INDEX groups_parent ON groups (parent_id) WHERE parent_id IS NOT NULL');
    // Two moves, each fine by itself, can make a circle together: whoever gives a group a parent waits for whoever is doing so.
    await runner.query(`
      CREATE FUNCTION lock_group_tree(tenant uuid) RETURNS void LANGUAGE sql AS $$
        SELECT pg_advisory_xact_lock(hashtextextended('group-tree ' || tenant, 0))
      $$`);
    await runner.query(`
      CREATE FUNCTION groups_tree() RETURNS trigger LANGUAGE plpgsql AS $$
      DECLARE
        above integer;
        below integer;
        circle boolean;
      BEGIN
        PERFORM lock_group_tree(NEW.tenant_id);
        -- Each statement here sees what was committed before the lock was given.
        WITH RECURSIVE up(id, level) AS (
          SELECT NEW.parent_id, 1
          UNION ALL SELECT g.parent_id, up.level + 1 FROM up JOIN groups g ON g.id = up.id
            WHERE g.parent_id IS NOT NULL AND up.level <= ${MAX_DEPTH}
        ) SELECT count(*), bool_or(id = NEW.id) INTO above, circle FROM up;
        IF circle THEN
          RAISE EXCEPTION 'a group cannot lie within itself' USING ERRCODE = 'check_violation', CONSTRAINT = 'groups_circle';
        END IF;
        WITH RECURSIVE down(id, level) AS (
          SELECT NEW.id, 1
          UNION ALL SELECT g.id, down.level + 1 FROM down JOIN groups g ON g.parent_id = down.id WHERE down.level <= ${MAX_DEPTH}
        ) SELECT max(level) INTO below FROM down;
        IF above + below > ${MAX_DEPTH} THEN
          RAISE EXCEPTION 'groups lie at most ${MAX_DEPTH} deep' USING ERRCODE = 'check_violation', CONSTRAINT = 'groups_depth';
        END IF;
        RETURN NEW;
      END $$`);
    await runner.query(`
      CREATE TRIGGER groups_tree BEFORE INSERT OR UPDATE OF parent_id ON groups
        FOR EACH ROW WHEN (NEW.parent_id IS NOT NULL) EXECUTE FUNCTION groups_tree()`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TRIGGER groups_tree ON groups');
    await runner.query('DROP FUNCTION groups_tree()');
    await runner.query('DROP FUNCTION lock_group_tree(uuid)');
    await runner.query('ALTER TABLE groups DROP COLUMN parent_id');
  }
}
