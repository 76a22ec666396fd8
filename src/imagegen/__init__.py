"""Image generation, whole and readable: VAEs, diffusion and text to image in Keras 3."""

# ruff: noqa: E402  (the backend is chosen before Keras is imported)
from imagegen._backend import choose_backend

choose_backend()

from imagegen._programs import keep_programs

keep_programs()

from imagegen import datasets as datasets
from imagegen import drawn as drawn
from imagegen import sd3 as sd3
from imagegen.animation import Animation as Animation
from imagegen.animation import save_animation as save_animation
from imagegen.autoencoders import digit_decoder as digit_decoder
from imagegen.autoencoders import digit_encoder as digit_encoder
from imagegen.autoencoders import image_decoder as image_decoder
from imagegen.autoencoders import image_encoder as image_encoder
from imagegen.averaging import move_averages as move_averages
from imagegen.callbacks import ShowGenerated as ShowGenerated
from imagegen.checkpoints import Checkpoint as Checkpoint
from imagegen.checkpoints import ShuffledBatches as ShuffledBatches
from imagegen.clip import CLIP as CLIP
from imagegen.clip import TextTower as TextTower
from imagegen.clip import clip_image_encoder as clip_image_encoder
from imagegen.clip import contrastive_loss as contrastive_loss
from imagegen.concepts import Concept as Concept
from imagegen.concepts import add_concept as add_concept
from imagegen.concepts import learn_concept as learn_concept
from imagegen.conditioning import Conditions as Conditions
from imagegen.conditioning import LabelEncoder as LabelEncoder
from imagegen.conditioning import PromptEncoder as PromptEncoder
from imagegen.diffusion import DiffusionModel as DiffusionModel
from imagegen.discrete import DiscreteSchedule as DiscreteSchedule
from imagegen.discrete import constant_betas as constant_betas
from imagegen.discrete import cosine_betas as cosine_betas
from imagegen.discrete import linear_betas as linear_betas
from imagegen.discrete import quadratic_betas as quadratic_betas
from imagegen.discrete import sigmoid_betas as sigmoid_betas
from imagegen.editing import image_to_image as image_to_image
from imagegen.editing import variations as variations
from imagegen.exporting import Exportable as Exportable
from imagegen.features import extract_features as extract_features
from imagegen.features import feature_model as feature_model
from imagegen.files import read_metadata as read_metadata
from imagegen.files import save_images as save_images
from imagegen.finetuning import resized as resized
from imagegen.finetuning import with_lora as with_lora
from imagegen.finetuning import with_names as with_names
from imagegen.generation import ImageGenerator as ImageGenerator
from imagegen.generation import Way as Way
from imagegen.guidance import Autoguidance as Autoguidance
from imagegen.guidance import Guidance as Guidance
from imagegen.guidance import guide as guide
from imagegen.guidance import rescaled as rescaled
from imagegen.images import center_square as center_square
from imagegen.images import grid as grid
from imagegen.images import show as show
from imagegen.images import to_float as to_float
from imagegen.images import to_uint8 as to_uint8
from imagegen.inpainting import RePaint as RePaint
from imagegen.inpainting import inpaint as inpaint
from imagegen.inpainting import outpaint as outpaint
from imagegen.interpolation import attribute_vector as attribute_vector
from imagegen.interpolation import latent_grid as latent_grid
from imagegen.interpolation import lerp as lerp
from imagegen.interpolation import slerp as slerp
from imagegen.interpolation import walk as walk
from imagegen.inversion import InverseDDIM as InverseDDIM
from imagegen.inversion import ddim_inversion as ddim_inversion
from imagegen.inversion import interpolate_images as interpolate_images
from imagegen.latent import LatentDiffusion as LatentDiffusion
from imagegen.layers import DepthToSpace as DepthToSpace
from imagegen.layers import GroupNormalization as GroupNormalization
from imagegen.layers import LatentSampler as LatentSampler
from imagegen.layers import LogSNREmbedding as LogSNREmbedding
from imagegen.layers import PositionEmbedding as PositionEmbedding
from imagegen.layers import SinusoidalEmbedding as SinusoidalEmbedding
from imagegen.layers import SubPixelConv2DTranspose as SubPixelConv2DTranspose
from imagegen.metrics import KernelInceptionDistance as KernelInceptionDistance
from imagegen.metrics import PrecisionAndRecall as PrecisionAndRecall
from imagegen.metrics import frechet_inception_distance as frechet_inception_distance
from imagegen.metrics import kernel_inception_distance as kernel_inception_distance
from imagegen.metrics import precision_and_recall as precision_and_recall
from imagegen.metrics import sliced_wasserstein_distance as sliced_wasserstein_distance
from imagegen.neighbors import Neighbors as Neighbors
from imagegen.neighbors import nearest_neighbors as nearest_neighbors
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
from imagegen.presets import preset_info as preset_info
from imagegen.presets import save_preset as save_preset
from imagegen.samplers import DDIM as DDIM
from imagegen.samplers import DDPM as DDPM
from imagegen.samplers import DPMSolver2M as DPMSolver2M
from imagegen.samplers import EDMSampler as EDMSampler
from imagegen.samplers import Euler as Euler
from imagegen.samplers import Heun as Heun
from imagegen.samplers import Level as Level
from imagegen.samplers import Sampler as Sampler
from imagegen.sampling import SamplingOptions as SamplingOptions
from imagegen.schedules import CosineSchedule as CosineSchedule
from imagegen.schedules import EDMSchedule as EDMSchedule
from imagegen.schedules import EvenLogSNRSchedule as EvenLogSNRSchedule
from imagegen.schedules import FlowSchedule as FlowSchedule
from imagegen.schedules import Schedule as Schedule
from imagegen.schedules import ShiftedCosineSchedule as ShiftedCosineSchedule
from imagegen.super_resolution import WithBlockMeans as WithBlockMeans
from imagegen.super_resolution import super_resolve as super_resolve
from imagegen.text import TextEncoder as TextEncoder
from imagegen.text import WordTokenizer as WordTokenizer
from imagegen.unet import UNet as UNet
from imagegen.vae import VAE as VAE
from imagegen.vae import NegativeELBO as NegativeELBO
from imagegen.vae import negative_elbo as negative_elbo
from imagegen.walks import noise_walk as noise_walk
from imagegen.walks import prompt_grid as prompt_grid
from imagegen.walks import prompt_walk as prompt_walk

__version__ = "0.1.0"
