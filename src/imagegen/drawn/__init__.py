"""Drawn flowers: pictures of which everything is known, captions for them, and a way to read them.

A model that learns from them can be measured: whether a picture shows what its prompt says is read
back from the pixels, by code that learned nothing.
"""

from imagegen.drawn.captioned import CaptionedFlowers as CaptionedFlowers
from imagegen.drawn.captions import caption as caption
from imagegen.drawn.captions import partial_caption as partial_caption
from imagegen.drawn.drawing import FlowerAttributes as FlowerAttributes
from imagegen.drawn.drawing import draw_flowers as draw_flowers
from imagegen.drawn.drawing import sample_attributes as sample_attributes
from imagegen.drawn.drawing import sample_habitat as sample_habitat
from imagegen.drawn.patterns import read_patterns as read_patterns
from imagegen.drawn.reading import FlowerReading as FlowerReading
from imagegen.drawn.reading import PromptAdherence as PromptAdherence
from imagegen.drawn.reading import parse_caption as parse_caption
from imagegen.drawn.reading import prompt_adherence as prompt_adherence
from imagegen.drawn.reading import read_flowers as read_flowers
