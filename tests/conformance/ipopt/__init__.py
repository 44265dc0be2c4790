"""Problems with known answers, and the drivers that are to find them."""
