"""`python -m predictors.causal_lm`: the predictor process."""

from predictors.causal_lm import CausalLmModel
from predictors.runtime import serve

serve(CausalLmModel)
