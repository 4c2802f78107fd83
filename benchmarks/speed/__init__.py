"""All speeds that matter to a user, in one table."""
