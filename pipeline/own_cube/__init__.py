"""Detection on a cube of the user's own: what its numbers and its times mean is read as CF has it, or refused."""
