from typing import Any

from lossfast import callbacks as callbacks
from lossfast import linear as linear
from lossfast import optim as optim
from lossfast import plot as plot
from lossfast import schedules as schedules
from lossfast._linear_crossentropy import linear_crossentropy as linear_crossentropy
from lossfast._loss import Loss as Loss
from lossfast.accumulator import Accumulator as Accumulator
from lossfast.c_library import get_include as get_include
from lossfast.c_library import get_library as get_library
from lossfast.catalogue import get as get
from lossfast.catalogue import info as info
from lossfast.catalogue import names as names
from lossfast.catalogue import recommend as recommend
from lossfast.catalogue import value_and_grad as value_and_grad
from lossfast.confusion import ConfusionMatrix as ConfusionMatrix
from lossfast.confusion import confusion_matrix as confusion_matrix
from lossfast.decoding import ctc_align as ctc_align
from lossfast.decoding import ctc_beam_search as ctc_beam_search
from lossfast.decoding import ctc_greedy_decode as ctc_greedy_decode
from lossfast.generative import gan_discriminator as gan_discriminator
from lossfast.generative import gan_generator as gan_generator
from lossfast.generative import gradient_penalty as gradient_penalty
from lossfast.linear import GDClassifier as GDClassifier
from lossfast.linear import GDRegressor as GDRegressor
from lossfast.optim._minimize import minimize as minimize
from lossfast.overlap import nms as nms
from lossfast.overlap import pairwise_iou as pairwise_iou
from lossfast.ranked import RankingMetric as RankingMetric
from lossfast.ranked import mean_average_precision as mean_average_precision
from lossfast.ranked import mean_reciprocal_rank as mean_reciprocal_rank
from lossfast.ranked import ndcg as ndcg
from lossfast.runtime import backend as backend
from lossfast.runtime import get_num_threads as get_num_threads
from lossfast.runtime import isa as isa
from lossfast.runtime import set_isa as set_isa
from lossfast.runtime import set_num_threads as set_num_threads
from lossfast.runtime import threads as threads
from lossfast.sequence import ctc_posteriors as ctc_posteriors
from lossfast.transcripts import ErrorRate as ErrorRate
from lossfast.transcripts import character_error_rate as character_error_rate
from lossfast.transcripts import edit_distance as edit_distance
from lossfast.transcripts import label_error_rate as label_error_rate
from lossfast.transcripts import word_error_rate as word_error_rate

__version__: str

class BatchAllTriplet(Loss):
    def __init__(self, *, margin: float = ..., distance: str = ...) -> None: ...

class BatchHardTriplet(Loss):
    def __init__(self, *, margin: float = ..., distance: str = ..., soft_margin: bool = ...) -> None: ...

class BinaryCrossentropy(Loss):
    def __init__(self, *, from_logits: bool = ..., label_smoothing: float = ..., pos_weight: float | Any = ..., eps: float | None = ...) -> None: ...

class BinaryFocalCrossentropy(Loss):
    def __init__(self, *, gamma: float = ..., alpha: float | Any | None = ..., from_logits: bool = ..., label_smoothing: float = ..., eps: float | None = ...) -> None: ...

class Brier(Loss):
    def __init__(self) -> None: ...

class CategoricalCrossentropy(Loss):
    def __init__(self, *, from_logits: bool = ..., axis: int = ..., label_smoothing: float = ..., class_weight: Any | None = ..., temperature: float | Any = ..., z_loss: float = ..., eps: float | None = ...) -> None: ...

class CategoricalFocalCrossentropy(Loss):
    def __init__(self, *, gamma: float = ..., alpha: float | Any | None = ..., from_logits: bool = ..., axis: int = ..., label_smoothing: float = ..., ignore_index: int | None = ..., temperature: float | Any = ..., eps: float | None = ...) -> None: ...

class CategoricalHinge(Loss):
    def __init__(self, *, axis: int = ..., ignore_index: int | None = ...) -> None: ...

class CIoU(Loss):
    def __init__(self, *, format: str = ..., eps: float | None = ...) -> None: ...

class Contrastive(Loss):
    def __init__(self, *, margin: float = ..., squared: bool = ...) -> None: ...

class CosineDistance(Loss):
    def __init__(self, *, axis: int = ..., wrt: str = ...) -> None: ...

class CosineEmbedding(Loss):
    def __init__(self, *, margin: float = ...) -> None: ...

class CosineSimilarity(Loss):
    def __init__(self, *, axis: int = ..., wrt: str = ...) -> None: ...

class CTC(Loss):
    def __init__(self, *, blank: int = ..., time_major: bool = ..., from_logits: bool = ..., zero_infinity: bool = ...) -> None: ...

class Dice(Loss):
    def __init__(self, *, axis: int | None = ..., activation: str | None = ..., reduce_over: str = ..., smooth: float | tuple[float, float | None] = ..., squared: bool = ..., include_background: bool = ..., empty: str = ..., class_weight: Any | None = ..., ignore_index: int | None = ...) -> None: ...

class DiceCrossentropy(Loss):
    def __init__(self, *, axis: int | None = ..., activation: str = ..., reduce_over: str = ..., smooth: float | tuple[float, float | None] = ..., squared: bool = ..., include_background: bool = ..., empty: str = ..., class_weight: Any | None = ..., ignore_index: int | None = ..., dice_weight: float = ..., crossentropy_weight: float = ...) -> None: ...

class DiceFocal(Loss):
    def __init__(self, *, axis: int | None = ..., activation: str = ..., reduce_over: str = ..., smooth: float | tuple[float, float | None] = ..., squared: bool = ..., include_background: bool = ..., empty: str = ..., class_weight: Any | None = ..., ignore_index: int | None = ..., dice_weight: float = ..., focal_weight: float = ..., gamma: float = ..., alpha: float | None = ...) -> None: ...

class DIoU(Loss):
    def __init__(self, *, format: str = ..., eps: float | None = ...) -> None: ...

class Exponential(Loss):
    def __init__(self) -> None: ...

class FocalTversky(Loss):
    def __init__(self, *, axis: int | None = ..., activation: str | None = ..., reduce_over: str = ..., smooth: float | tuple[float, float | None] = ..., squared: bool = ..., include_background: bool = ..., empty: str = ..., class_weight: Any | None = ..., ignore_index: int | None = ..., alpha: float = ..., beta: float = ..., gamma: float = ...) -> None: ...

class Gamma(Loss):
    def __init__(self) -> None: ...

class GaussianKL(Loss):
    def __init__(self) -> None: ...

class GaussianNLL(Loss):
    def __init__(self, *, var: float | Any = ..., eps: float = ..., full: bool = ..., wrt: str = ...) -> None: ...

class GeneralizedCrossentropy(Loss):
    def __init__(self, *, q: float = ..., from_logits: bool = ..., axis: int = ..., label_smoothing: float = ..., class_weight: Any | None = ..., ignore_index: int | None = ..., temperature: float | Any = ..., eps: float | None = ...) -> None: ...

class GeneralizedDice(Loss):
    def __init__(self, *, axis: int | None = ..., activation: str | None = ..., reduce_over: str = ..., smooth: float | tuple[float, float | None] = ..., squared: bool = ..., include_background: bool = ..., empty: str = ..., class_weight: Any | None = ..., ignore_index: int | None = ..., weighting: str = ...) -> None: ...

class GIoU(Loss):
    def __init__(self, *, format: str = ..., eps: float | None = ...) -> None: ...

class Hinge(Loss):
    def __init__(self) -> None: ...

class HingeEmbedding(Loss):
    def __init__(self, *, margin: float = ...) -> None: ...

class Huber(Loss):
    def __init__(self, *, delta: float = ...) -> None: ...

class IoU(Loss):
    def __init__(self, *, format: str = ..., eps: float | None = ...) -> None: ...

class Jaccard(Loss):
    def __init__(self, *, axis: int | None = ..., activation: str | None = ..., reduce_over: str = ..., smooth: float | tuple[float, float | None] = ..., squared: bool = ..., include_background: bool = ..., empty: str = ..., class_weight: Any | None = ..., ignore_index: int | None = ...) -> None: ...

class KLDivergence(Loss):
    def __init__(self, *, from_logits: bool = ..., log_input: bool = ..., axis: int = ..., temperature: float | Any = ..., eps: float | None = ...) -> None: ...

class LogCosh(Loss):
    def __init__(self) -> None: ...

class LogCoshDice(Loss):
    def __init__(self, *, axis: int | None = ..., activation: str | None = ..., reduce_over: str = ..., smooth: float | tuple[float, float | None] = ..., squared: bool = ..., include_background: bool = ..., empty: str = ..., class_weight: Any | None = ..., ignore_index: int | None = ...) -> None: ...

class MeanAbsoluteError(Loss):
    def __init__(self) -> None: ...

class MeanAbsolutePercentageError(Loss):
    def __init__(self, *, eps: float = ...) -> None: ...

class MarginRanking(Loss):
    def __init__(self, *, margin: float = ...) -> None: ...

class ModifiedHuber(Loss):
    def __init__(self) -> None: ...

class MeanSquaredError(Loss):
    def __init__(self) -> None: ...

class MeanSquaredLogarithmicError(Loss):
    def __init__(self) -> None: ...

class MulticlassBrier(Loss):
    def __init__(self, *, from_logits: bool = ..., axis: int = ..., label_smoothing: float = ..., class_weight: Any | None = ..., ignore_index: int | None = ..., temperature: float | Any = ...) -> None: ...

class MulticlassHinge(Loss):
    def __init__(self, *, margin: float = ..., axis: int = ..., class_weight: Any | None = ..., ignore_index: int | None = ...) -> None: ...

class MultipleNegativesRanking(Loss):
    def __init__(self, *, scale: float = ..., symmetric: bool = ..., similarity: str = ...) -> None: ...

class NTXent(Loss):
    def __init__(self, *, temperature: float = ...) -> None: ...

class PairwiseLogistic(Loss):
    def __init__(self) -> None: ...

class Poisson(Loss):
    def __init__(self, *, log_input: bool = ..., eps: float | None = ...) -> None: ...

class Poly(Loss):
    def __init__(self, *, epsilon: float = ..., from_logits: bool = ..., axis: int = ..., label_smoothing: float = ..., class_weight: Any | None = ..., ignore_index: int | None = ..., temperature: float | Any = ..., eps: float | None = ...) -> None: ...

class PseudoHuber(Loss):
    def __init__(self, *, delta: float = ...) -> None: ...

class Quantile(Loss):
    def __init__(self, *, quantile: float = ...) -> None: ...

class RankingSoftmax(Loss):
    def __init__(self) -> None: ...

class Reconstruction(Loss):
    def __init__(self, *, kind: str = ..., per: str = ..., delta: float = ..., from_logits: bool = ...) -> None: ...

class SIoU(Loss):
    def __init__(self, *, format: str = ..., eps: float | None = ...) -> None: ...

class SmoothL1(Loss):
    def __init__(self, *, beta: float = ...) -> None: ...

class SparseCategoricalCrossentropy(Loss):
    def __init__(self, *, ignore_index: int | None = ..., from_logits: bool = ..., axis: int = ..., label_smoothing: float = ..., class_weight: Any | None = ..., temperature: float | Any = ..., z_loss: float = ..., eps: float | None = ...) -> None: ...

class SquaredHinge(Loss):
    def __init__(self) -> None: ...

class SupervisedContrastive(Loss):
    def __init__(self, *, temperature: float = ...) -> None: ...

class Triplet(Loss):
    def __init__(self, *, margin: float = ..., p: float = ..., swap: bool = ..., distance: str = ..., eps: float = ...) -> None: ...

class Tversky(Loss):
    def __init__(self, *, axis: int | None = ..., activation: str | None = ..., reduce_over: str = ..., smooth: float | tuple[float, float | None] = ..., squared: bool = ..., include_background: bool = ..., empty: str = ..., class_weight: Any | None = ..., ignore_index: int | None = ..., alpha: float = ..., beta: float = ...) -> None: ...

class Tweedie(Loss):
    def __init__(self, *, power: float = ...) -> None: ...

class VAE(Loss):
    def __init__(self, *, beta: float = ..., kind: str = ..., delta: float = ..., from_logits: bool = ...) -> None: ...

batch_all_triplet: BatchAllTriplet
batch_hard_triplet: BatchHardTriplet
binary_crossentropy: BinaryCrossentropy
bce: BinaryCrossentropy
binary_focal_crossentropy: BinaryFocalCrossentropy
focal: BinaryFocalCrossentropy
brier: Brier
categorical_crossentropy: CategoricalCrossentropy
cce: CategoricalCrossentropy
categorical_focal_crossentropy: CategoricalFocalCrossentropy
categorical_hinge: CategoricalHinge
ciou: CIoU
contrastive: Contrastive
cosine_distance: CosineDistance
cosine_embedding: CosineEmbedding
cosine_similarity: CosineSimilarity
ctc: CTC
dice: Dice
dice_crossentropy: DiceCrossentropy
dice_focal: DiceFocal
diou: DIoU
exponential: Exponential
focal_tversky: FocalTversky
gamma: Gamma
gaussian_kl: GaussianKL
gaussian_nll: GaussianNLL
generalized_crossentropy: GeneralizedCrossentropy
generalized_dice: GeneralizedDice
giou: GIoU
hinge: Hinge
hinge_embedding: HingeEmbedding
huber: Huber
iou: IoU
jaccard: Jaccard
kullback_leibler_divergence: KLDivergence
kld: KLDivergence
kl_divergence: KLDivergence
log_cosh: LogCosh
logcosh: LogCosh
log_cosh_dice: LogCoshDice
mae: MeanAbsoluteError
mean_absolute_error: MeanAbsoluteError
mape: MeanAbsolutePercentageError
mean_absolute_percentage_error: MeanAbsolutePercentageError
margin_ranking: MarginRanking
modified_huber: ModifiedHuber
mse: MeanSquaredError
mean_squared_error: MeanSquaredError
msle: MeanSquaredLogarithmicError
mean_squared_logarithmic_error: MeanSquaredLogarithmicError
multiclass_brier: MulticlassBrier
multiclass_hinge: MulticlassHinge
multiple_negatives_ranking: MultipleNegativesRanking
ntxent: NTXent
info_nce: NTXent
pairwise_logistic: PairwiseLogistic
poisson: Poisson
poly: Poly
poly_loss: Poly
pseudo_huber: PseudoHuber
quantile: Quantile
pinball: Quantile
ranking_softmax: RankingSoftmax
reconstruction: Reconstruction
siou: SIoU
smooth_l1: SmoothL1
sparse_categorical_crossentropy: SparseCategoricalCrossentropy
scce: SparseCategoricalCrossentropy
squared_hinge: SquaredHinge
supervised_contrastive: SupervisedContrastive
supcon: SupervisedContrastive
triplet: Triplet
triplet_margin: Triplet
tversky: Tversky
tweedie: Tweedie
vae: VAE
