"""Payment providers: who takes the customers' money and gives it back, behind one Protocol."""
