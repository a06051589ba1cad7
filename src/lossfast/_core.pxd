# What lossfast.h declares, for this extension and for `from lossfast cimport _core` elsewhere.
from libc.stddef cimport ptrdiff_t
from libc.stdint cimport int64_t, uint64_t

cdef extern from "lossfast/lossfast.h" nogil:
    ctypedef enum lf_status:
        LF_OK, LF_BAD_ARGUMENT, LF_BAD_TARGET, LF_BAD_PRED, LF_BAD_WEIGHT, LF_BAD_STREAM, LF_INTERRUPTED
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
        double empty
        const double *param
        int unchecked
        lf_out value
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

    lf_status lf_weight_sum(lf_in weight, size_t n, double *sum, const lf_control *control, lf_failure *failure)
    lf_status lf_vecmath(const char *name, lf_dtype dtype, size_t n, const void *x, void *y)
