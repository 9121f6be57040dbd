"""Looking at a bucket as a whole: what each repository holds (`usage`), and whether it is right (`checking`)."""
