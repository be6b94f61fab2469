"""From a trained model to ONNX, repeatable: the same model gives the same bytes.

scikit     a scikit-learn estimator, by skl2onnx
pytorch    a PyTorch network, by torch's exporter, without traces of the machine
decoder    a language model of GPT-2's or Llama's form, with its cache as inputs and outputs
encoder    a BERT that judges pairs
graph      the nodes that such a decoder is made of
rotation   its weights turned, so that 8 bits a row are enough

Scripts come in, and entailment for its T5. `decoder` and `graph` know the weights of `language`;
the others know no room. scikit and pytorch are apart, so that a forest needs no torch.
"""
