"""Image generation, whole and readable: VAEs, diffusion and text to image in Keras 3."""

# ruff: noqa: E402  (the backend is chosen before Keras is imported)
from imagegen._backend import choose_backend

choose_backend()

from imagegen import datasets as datasets
from imagegen.animation import Animation as Animation
from imagegen.animation import save_animation as save_animation
from imagegen.captioned import CaptionedFlowers as CaptionedFlowers
from imagegen.captioned import FlowerAttributes as FlowerAttributes
from imagegen.captioned import caption as caption
from imagegen.captioned import draw_flowers as draw_flowers
from imagegen.captioned import sample_attributes as sample_attributes
from imagegen.checkpoints import Checkpoint as Checkpoint
from imagegen.checkpoints import ShuffledBatches as ShuffledBatches
from imagegen.conditioning import Guidance as Guidance
from imagegen.conditioning import LabelEncoder as LabelEncoder
from imagegen.conditioning import guide as guide
from imagegen.conditioning import rescaled as rescaled
from imagegen.diffusion import DiffusionModel as DiffusionModel
from imagegen.discrete import DiscreteSchedule as DiscreteSchedule
from imagegen.discrete import constant_betas as constant_betas
from imagegen.discrete import cosine_betas as cosine_betas
from imagegen.discrete import linear_betas as linear_betas
from imagegen.discrete import quadratic_betas as quadratic_betas
from imagegen.discrete import sigmoid_betas as sigmoid_betas
from imagegen.editing import image_to_image as image_to_image
from imagegen.editing import inpaint as inpaint
from imagegen.editing import outpaint as outpaint
from imagegen.editing import super_resolve as super_resolve
from imagegen.editing import variations as variations
from imagegen.features import extract_features as extract_features
from imagegen.features import feature_model as feature_model
from imagegen.generation import ImageGenerator as ImageGenerator
from imagegen.images import ShowGenerated as ShowGenerated
from imagegen.images import center_square as center_square
from imagegen.images import grid as grid
from imagegen.images import show as show
from imagegen.images import to_float as to_float
from imagegen.images import to_uint8 as to_uint8
from imagegen.interpolation import concept_vector as concept_vector
from imagegen.interpolation import latent_grid as latent_grid
from imagegen.interpolation import lerp as lerp
from imagegen.interpolation import slerp as slerp
from imagegen.interpolation import walk as walk
from imagegen.inversion import ddim_inversion as ddim_inversion
from imagegen.inversion import interpolate_images as interpolate_images
from imagegen.layers import DepthToSpace as DepthToSpace
from imagegen.layers import LatentSampler as LatentSampler
from imagegen.layers import LogSNR as LogSNR
from imagegen.layers import SinusoidalEmbedding as SinusoidalEmbedding
from imagegen.layers import SubPixelConv2DTranspose as SubPixelConv2DTranspose
from imagegen.metrics import KID as KID
from imagegen.metrics import NegativeELBO as NegativeELBO
from imagegen.metrics import Neighbors as Neighbors
from imagegen.metrics import PrecisionAndRecall as PrecisionAndRecall
from imagegen.metrics import frechet_inception_distance as frechet_inception_distance
from imagegen.metrics import kernel_inception_distance as kernel_inception_distance
from imagegen.metrics import nearest_neighbors as nearest_neighbors
from imagegen.metrics import negative_elbo as negative_elbo
from imagegen.metrics import precision_and_recall as precision_and_recall
from imagegen.metrics import sliced_wasserstein_distance as sliced_wasserstein_distance
from imagegen.networks import denoising_autoencoder as denoising_autoencoder
from imagegen.networks import espcn as espcn
from imagegen.networks import point_mlp as point_mlp
from imagegen.predictions import EDMPrediction as EDMPrediction
from imagegen.predictions import FlowPrediction as FlowPrediction
from imagegen.predictions import ImagePrediction as ImagePrediction
from imagegen.predictions import MinSNRWeighting as MinSNRWeighting
from imagegen.predictions import NoisePrediction as NoisePrediction
from imagegen.predictions import PlainWeighting as PlainWeighting
from imagegen.predictions import Prediction as Prediction
from imagegen.predictions import VelocityPrediction as VelocityPrediction
from imagegen.predictions import Weighting as Weighting
from imagegen.presets import Preset as Preset
from imagegen.presets import list_presets as list_presets
from imagegen.presets import save_preset as save_preset
from imagegen.samplers import DDIM as DDIM
from imagegen.samplers import DDPM as DDPM
from imagegen.samplers import DPMSolver2M as DPMSolver2M
from imagegen.samplers import Euler as Euler
from imagegen.samplers import Heun as Heun
from imagegen.samplers import Level as Level
from imagegen.samplers import Sampler as Sampler
from imagegen.schedules import CosineSchedule as CosineSchedule
from imagegen.schedules import EDMSchedule as EDMSchedule
from imagegen.schedules import EvenLogSNR as EvenLogSNR
from imagegen.schedules import FlowSchedule as FlowSchedule
from imagegen.schedules import Schedule as Schedule
from imagegen.schedules import ShiftedCosineSchedule as ShiftedCosineSchedule
from imagegen.unet import UNet as UNet
from imagegen.vae import VAE as VAE
from imagegen.vae import digit_decoder as digit_decoder
from imagegen.vae import digit_encoder as digit_encoder

__version__ = "0.1.0"
