"""Names of an exported graph's outputs; a module of its own, since a bundle's runner carries what it imports."""

BOX_OUTPUTS = ("boxes", "labels")
MASK_OUTPUT = "masks"
