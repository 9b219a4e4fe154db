"""What gateways may ask for: each operation says what is done on its channel."""
