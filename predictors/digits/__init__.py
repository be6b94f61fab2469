"""What the predictors of handwritten digits share; no model by itself.

model   DigitModel: inputs, outputs and the call of the network
images  a PNG or JPEG, as MNIST would have drawn it

Comes in: the digit models and their trainings. It knows `predictors.runtime`.
"""
