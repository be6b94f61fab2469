"""Language models as arrays, read without torch from what people have: GGUF files and folders.

sources              a model by its name: which of the readers below is meant
gguf_file, folder    the readers
smollm2, tiny        the default model; and one of random weights, for --smoke
model, matrices      LanguageModel, and matrices in 8 bits
python_text          text to measure with and to learn from, where no file is named
lora                 fine-tuning; the one module that needs torch
measures, card       what is measured before publishing, and the model card that says it

The script causal_lm comes in, and `export` for the form of the weights. It knows `publish`.
"""
