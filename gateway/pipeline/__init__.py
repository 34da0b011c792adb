"""One photo's way: scheduler, packer, canvas call, verdict, and again at a finer shape."""
