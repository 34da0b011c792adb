"""Jobs: photos that are handed in together and answered later."""
