"""What is told to clients' URLs: signed as the Standard Webhooks specification says, at least once,
for hours."""
