"""The server's loops, one file each. They are kicked by hints and corrected by polling."""
