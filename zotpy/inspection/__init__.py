"""Looking at a bucket as a whole: what it holds for whom (`usage`), and whether all of it is right (`checking`)."""
