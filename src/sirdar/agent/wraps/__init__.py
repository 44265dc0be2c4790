"""What programs are started inside of: command lines of sandboxes and containers."""
