# What lossfast.h declares, for this extension and for `from lossfast cimport _core` elsewhere.
from libc.stddef cimport ptrdiff_t
from libc.stdint cimport int64_t, uint8_t, uint64_t

cdef extern from "lossfast/lossfast.h" nogil:
    ctypedef enum lf_status:
        LF_OK, LF_BAD_ARGUMENT, LF_BAD_TARGET, LF_BAD_PRED, LF_BAD_WEIGHT, LF_BAD_STREAM, LF_INTERRUPTED
        LF_BAD_LABEL_LENGTH, LF_BAD_LOGIT_LENGTH, LF_TOO_LARGE
    const char *lf_status_string(lf_status status)

    ctypedef enum lf_dtype:
        LF_BOOL, LF_I8, LF_U8, LF_I16, LF_U16, LF_I32, LF_U32, LF_I64, LF_U64, LF_F16, LF_BF16, LF_F32, LF_F64
    ctypedef struct lf_layout:
        int ndim
        const size_t *shape
        const ptrdiff_t *strides
    ctypedef struct lf_in:
        const void *data
        lf_dtype dtype
        ptrdiff_t stride
        const lf_layout *layout
    ctypedef struct lf_out:
        void *data
        lf_dtype dtype
        ptrdiff_t stride
        const lf_layout *layout
    lf_in lf_vector(const void *data, lf_dtype dtype)
    lf_out lf_output(void *data, lf_dtype dtype)

    ctypedef struct lf_control:
        int nthreads
        int (*interrupted)(void *context) noexcept
        void *context
    void lf_set_num_threads(int nthreads)
    int lf_get_num_threads()
    const char *lf_isa()
    lf_status lf_set_isa(const char *name)

    enum:
        LF_EXACT_LIMBS
        LF_MAX_NDIM
    ctypedef struct lf_exact:
        int64_t *limb
        double special
    void lf_exact_carry(lf_exact *sum)
    ctypedef struct lf_moments:
        lf_exact weight
        lf_exact loss
        lf_exact square
        uint64_t count
        uint64_t nan
        uint64_t positive_inf
        uint64_t negative_inf
        uint64_t overflow
        double min
        double max

    ctypedef struct lf_pointwise:
        pass
    const lf_pointwise *lf_pointwise_find(const char *name)
    const lf_pointwise *lf_pointwise_at(size_t index)
    const char *lf_pointwise_name(const lf_pointwise *loss)
    size_t lf_pointwise_nparam(const lf_pointwise *loss)
    ctypedef struct lf_domain:
        double low
        double high
        int sign_labels
    lf_domain lf_pointwise_domain(const lf_pointwise *loss, lf_dtype dtype, lf_status operand)
    ctypedef struct lf_call:
        size_t n
        lf_in target
        lf_in pred
        lf_in weight
        lf_in stream
        const double *param
        int unchecked
        lf_out value
        lf_out grad
        lf_out hess
        double scale
        double *sum
        size_t row
        lf_moments *moments
    ctypedef struct lf_failure:
        size_t index
    lf_status lf_pointwise_run(const lf_pointwise *loss, lf_dtype dtype, const lf_call *call,
                               const lf_control *control, lf_failure *failure)
    ctypedef struct lf_rowwise:
        pass
    const lf_rowwise *lf_rowwise_find(const char *name)
    const lf_rowwise *lf_rowwise_at(size_t index)
    const char *lf_rowwise_name(const lf_rowwise *loss)
    size_t lf_rowwise_nparam(const lf_rowwise *loss)
    enum:
        LF_MAX_CLASSES
    ctypedef struct lf_row_call:
        size_t rows
        size_t classes
        lf_in pred
        lf_in target
        int labels
        int has_ignore
        int64_t ignore
        lf_in weight
        lf_in temperature
        const double *class_weight
        const double *param
        double label_smoothing
        double z_loss
        int unchecked
        lf_out value
        lf_out grad
        lf_out hess
        double scale
        double *sum
        lf_moments *moments
    ctypedef struct lf_row_totals:
        size_t kept
        double weight
    lf_status lf_rowwise_check(lf_dtype dtype, const lf_row_call *call, lf_row_totals *totals,
                               const lf_control *control, lf_failure *failure)
    lf_status lf_rowwise_run(const lf_rowwise *loss, lf_dtype dtype, const lf_row_call *call,
                             const lf_control *control, lf_failure *failure)
    ctypedef struct lf_region:
        pass
    const lf_region *lf_region_find(const char *name)
    const lf_region *lf_region_at(size_t index)
    const char *lf_region_name(const lf_region *loss)
    size_t lf_region_nparam(const lf_region *loss)
    ctypedef enum lf_activation:
        LF_PROBABILITIES, LF_SIGMOID, LF_SOFTMAX
    ctypedef enum lf_pixel:
        LF_NO_PIXEL, LF_PIXEL_CROSSENTROPY, LF_PIXEL_FOCAL
    ctypedef struct lf_region_call:
        size_t samples
        size_t positions
        size_t classes
        lf_in pred
        lf_in target
        int labels
        int has_ignore
        int64_t ignore
        lf_activation activation
        int squared
        int together
        lf_in share
        lf_in weight
        lf_pixel pixel
        double gamma
        double alpha
        lf_in pixel_weight
        const double *class_weight
        double empty
        const double *param
        int unchecked
        lf_out value
        lf_out pixel_value
        lf_out grad
        double scale
        double *sum
        void *workspace
        size_t workspace_size
    size_t lf_region_workspace(lf_dtype dtype, const lf_region_call *call, const lf_control *control)
    lf_status lf_region_check(lf_dtype dtype, const lf_region_call *call, double *totals, const lf_control *control,
                              lf_failure *failure)
    lf_status lf_region_run(const lf_region *loss, lf_dtype dtype, const lf_region_call *call,
                            const lf_control *control, lf_failure *failure)
    ctypedef struct lf_ctc_call:
        size_t samples
        size_t frames
        size_t classes
        lf_in logits
        int log_probabilities
        lf_in labels
        size_t max_labels
        size_t nlabels
        int concatenated
        lf_in label_lengths
        lf_in logit_lengths
        int64_t blank
        lf_in scale
        lf_out value
        lf_out grad
        lf_out posteriors
    lf_status lf_ctc_workspace(lf_dtype dtype, const lf_ctc_call *call, const lf_control *control, size_t *size,
                               lf_failure *failure)
    lf_status lf_ctc_run(lf_dtype dtype, const lf_ctc_call *call, void *workspace, size_t size,
                         const lf_control *control, lf_failure *failure)
    ctypedef struct lf_embedding:
        pass
    const lf_embedding *lf_embedding_find(const char *name)
    const lf_embedding *lf_embedding_at(size_t index)
    const char *lf_embedding_name(const lf_embedding *loss)
    size_t lf_embedding_nparam(const lf_embedding *loss)
    ctypedef enum lf_distance:
        LF_EUCLIDEAN, LF_SQUARED_EUCLIDEAN, LF_COSINE
    ctypedef struct lf_embedding_call:
        size_t rows
        size_t dimensions
        lf_in[3] operand
        lf_in alike
        lf_in weight
        lf_distance distance
        double p
        double eps
        const double *param
        lf_out value
        lf_out[3] grad
        double scale
        double *sum
    lf_status lf_embedding_run(const lf_embedding *loss, lf_dtype dtype, const lf_embedding_call *call,
                               const lf_control *control, lf_failure *failure)

    ctypedef struct lf_box:
        pass
    const lf_box *lf_box_find(const char *name)
    const lf_box *lf_box_at(size_t index)
    const char *lf_box_name(const lf_box *loss)
    ctypedef enum lf_box_format:
        LF_XYXY, LF_XYWH, LF_CXCYWH
    ctypedef struct lf_box_call:
        size_t n
        lf_in[4] target
        lf_in[4] pred
        lf_box_format format
        lf_in weight
        double eps
        int check
        lf_out value
        lf_out[4] grad
        double scale
        double *sum
    lf_status lf_box_run(const lf_box *loss, lf_dtype dtype, const lf_box_call *call, const lf_control *control,
                         lf_failure *failure)
    ctypedef struct lf_pairwise_call:
        size_t n
        size_t m
        lf_in[4] boxes1
        lf_in[4] boxes2
        lf_box_format format
        double eps
        lf_out out
    lf_status lf_box_pairwise(const lf_box *loss, lf_dtype dtype, const lf_pairwise_call *call,
                              const lf_control *control)
    ctypedef struct lf_nms_call:
        size_t groups
        const int64_t *starts
        lf_in[4] box
        lf_box_format format
        double threshold
        size_t most
        uint8_t *keep
    size_t lf_nms_workspace(lf_dtype dtype, const lf_nms_call *call)
    lf_status lf_nms(lf_dtype dtype, const lf_nms_call *call, void *workspace, size_t size, const lf_control *control)

    ctypedef struct lf_step:
        pass
    const lf_step *lf_step_find(const char *name)
    const lf_step *lf_step_at(size_t index)
    const char *lf_step_name(const lf_step *step)
    size_t lf_step_nstate(const lf_step *step)
    size_t lf_step_nparam(const lf_step *step)
    ctypedef struct lf_step_array:
        size_t n
        lf_out weight
        lf_in grad
        void *state[3]
    ctypedef struct lf_step_call:
        size_t narrays
        lf_step_array *array
        const double *param
        double scale
        double clip
        double decay
        double keep
    lf_status lf_step_run(const lf_step *step, lf_dtype dtype, const lf_step_call *call, const lf_control *control)
    lf_status lf_step_norm(lf_dtype dtype, size_t narrays, lf_step_array *array, double *norm,
                           const lf_control *control)
    lf_status lf_step_check(lf_dtype dtype, size_t narrays, lf_step_array *array, size_t *bad_array, size_t *bad,
                            const lf_control *control)
    ctypedef struct lf_pairs_call:
        size_t groups
        const int64_t *starts
        const double *label
        const void *score
        double *value
        double *grad
        double *hess
    lf_status lf_pairwise_logistic(lf_dtype dtype, const lf_pairs_call *call, const lf_control *control,
                                   lf_failure *failure)
    lf_status lf_weight_sum(lf_in weight, size_t n, double *sum, const lf_control *control, lf_failure *failure)

    ctypedef struct lf_linear_call:
        size_t rows
        size_t features
        const void *x
        const void *target
        const void *weight
        const void *center
        const int64_t *order
        size_t n
        size_t batch
        const double *param
        void *coef
        void *intercept
        int fixed_intercept
        const double *rate
        size_t rates
        void *by_coef
        void *by_intercept
        double l1
        double l2
        double *loss
    size_t lf_linear_workspace(lf_dtype dtype, const lf_linear_call *call)
    lf_status lf_linear_run(const lf_pointwise *loss, lf_dtype dtype, const lf_linear_call *call, void *workspace,
                            size_t size, const lf_control *control, size_t *done)

    ctypedef struct lf_ctc_input:
        size_t samples
        size_t frames
        size_t classes
        lf_in logits
        int log_probabilities
        const int64_t *logit_lengths
        int64_t blank
    ctypedef struct lf_ctc_greedy_call:
        lf_ctc_input input
        int64_t *labels
        int64_t *lengths
        double *log_probability
    lf_status lf_ctc_greedy_workspace(lf_dtype dtype, const lf_ctc_greedy_call *call, const lf_control *control,
                                      size_t *size, lf_failure *failure)
    lf_status lf_ctc_greedy(lf_dtype dtype, const lf_ctc_greedy_call *call, void *workspace, size_t size,
                            const lf_control *control, lf_failure *failure)
    ctypedef struct lf_ctc_beam_call:
        lf_ctc_input input
        size_t beam_width
        size_t top
        double class_threshold
        int64_t *labels
        int64_t *lengths
        double *log_probability
    lf_status lf_ctc_beam_workspace(lf_dtype dtype, const lf_ctc_beam_call *call, const lf_control *control,
                                    size_t *size, lf_failure *failure)
    lf_status lf_ctc_beam(lf_dtype dtype, const lf_ctc_beam_call *call, void *workspace, size_t size,
                          const lf_control *control, lf_failure *failure)
    ctypedef struct lf_ctc_align_call:
        lf_ctc_input input
        size_t nlabels
        const int64_t *labels
        const int64_t *label_starts
        const int64_t *label_lengths
        int64_t *path
        int64_t *position
        double *frame_score
        int64_t *start
        int64_t *end
        double *score
        double *log_probability
    lf_status lf_ctc_align_workspace(lf_dtype dtype, const lf_ctc_align_call *call, const lf_control *control,
                                     size_t *size, lf_failure *failure)
    lf_status lf_ctc_align(lf_dtype dtype, const lf_ctc_align_call *call, void *workspace, size_t size,
                           const lf_control *control, lf_failure *failure)
    ctypedef struct lf_edit_call:
        size_t pairs
        lf_in references
        lf_in hypotheses
        const int64_t *reference_starts
        const int64_t *hypothesis_starts
        int64_t *distance
        int64_t *counts
    lf_status lf_edit_workspace(const lf_edit_call *call, const lf_control *control, size_t *size)
    lf_status lf_edit(const lf_edit_call *call, void *workspace, size_t size, const lf_control *control)
    ctypedef struct lf_confusion_call:
        lf_in target
        lf_in pred
        size_t n
        size_t classes
        bint has_ignore
        int64_t ignore
        int64_t *counts
    lf_status lf_confusion_workspace(const lf_confusion_call *call, const lf_control *control, size_t *size)
    lf_status lf_confusion(const lf_confusion_call *call, void *workspace, size_t size, const lf_control *control,
                           lf_failure *failure)

    lf_status lf_vecmath(const char *name, lf_dtype dtype, size_t n, const void *x, void *y)
