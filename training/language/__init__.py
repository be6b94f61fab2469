"""Language models as arrays, read without torch from what people have: GGUF files and folders."""
