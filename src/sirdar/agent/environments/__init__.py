"""What programs run in, brought or made on this machine: images, interpreters with packages."""
