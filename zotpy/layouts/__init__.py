"""OCI image layouts (image-layout.md): a directory or a tar of images, and trees of them as zot keeps them."""
