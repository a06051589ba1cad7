"""Losses of distances between vectors."""
cdef dict DISTANCE = {"euclidean": LF_EUCLIDEAN, "squared": LF_SQUARED_EUCLIDEAN, "cosine": LF_COSINE}


def embedding(str name not None, bint single, tuple operands not None, alike, weight, str distance not None,
              double p, double eps, tuple params not None, double scale, value, tuple grads not None, bint want_sum,
              int nthreads):
    """One call of lf_embedding_run on arrays of (..., dimensions); returns the sum, if wanted."""
    cdef lf_embedding_call call
    cdef const lf_embedding *loss = lf_embedding_find(name.encode())
    cdef view[3] x
    cdef view[3] g
    cdef view a, w, v
    cdef double[MAX_PARAM] param
    cdef double total = 0
    cdef list errors = []
    cdef lf_control control = control_of(nthreads, errors)
    cdef lf_failure failure
    cdef lf_status status
    cdef int o
    cdef cnp.ndarray first = operands[0]
    if loss is NULL or len(params) != <Py_ssize_t>lf_embedding_nparam(loss):
        raise SystemError(f"lossfast: no loss {name} of {len(params)} parameters")
    memset(&call, 0, sizeof(call))
    for o in range(3):
        open_view(&x[o], operands[o] if o < len(operands) else None)
        open_view(&g[o], grads[o] if o < len(grads) else None)
        call.operand[o], call.grad[o] = reading(&x[o]), writing(&g[o])
    open_view(&a, alike), open_view(&w, weight), open_view(&v, value)
    call.alike, call.weight, call.value = reading(&a), reading(&w), writing(&v)
    call.dimensions = cnp.PyArray_DIM(first, cnp.PyArray_NDIM(first) - 1)
    call.rows = cnp.PyArray_SIZE(first) // call.dimensions
    fill(param, params)
    call.param = param
    call.distance, call.p, call.eps, call.scale = DISTANCE[distance], p, eps, scale
    if want_sum:
        call.sum = &total
    with nogil:
        status = lf_embedding_run(loss, LF_F32 if single else LF_F64, &call, &control, &failure)
    check(status, failure, errors)
    return total if want_sum else None
