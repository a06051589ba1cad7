"""Pairs of ranked items."""


cdef void *data_of(x) except? NULL:
    """Of a contiguous array, or NULL of None."""
    return NULL if x is None else cnp.PyArray_DATA(<cnp.ndarray?>x)


def pairwise_logistic(cnp.ndarray starts not None, cnp.ndarray label not None, cnp.ndarray score not None, value, grad,
                      hess, int nthreads):
    """One call of lf_pairwise_logistic on contiguous arrays, float64 but for int64 starts and float32 scores."""
    cdef lf_pairs_call call
    cdef list errors = []
    cdef lf_control control = control_of(nthreads, errors)
    cdef lf_failure failure
    cdef lf_dtype dtype = <lf_dtype>dtype_of(score)
    cdef lf_status status
    call.groups = cnp.PyArray_SIZE(starts) - 1
    call.starts = <const int64_t *>data_of(starts)
    call.label, call.score = <const double *>data_of(label), data_of(score)
    call.value, call.grad, call.hess = <double *>data_of(value), <double *>data_of(grad), <double *>data_of(hess)
    with nogil:
        status = lf_pairwise_logistic(dtype, &call, &control, &failure)
    check(status, failure, errors)
