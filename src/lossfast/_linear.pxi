"""Gradient descent of linear models of one score."""


cdef const void *dense(name, x, int number, Py_ssize_t size) except NULL:
    """The data of a contiguous array of this dtype and size."""
    cdef cnp.ndarray a = x
    if cnp.PyArray_TYPE(a) != number or not cnp.PyArray_ISCARRAY_RO(a) or cnp.PyArray_SIZE(a) != size:
        raise SystemError(f"lossfast: {name} reached the core unprepared")
    return cnp.PyArray_DATA(a)


cdef void *writable(name, x, int number, Py_ssize_t size) except NULL:
    if not cnp.PyArray_ISWRITEABLE(<cnp.ndarray>x):
        raise SystemError(f"lossfast: {name} reached the core read-only")
    return <void *>dense(name, x, number, size)


cdef tuple run_linear(Kernel kernel, lf_linear_call *call, cnp.ndarray x, target, weight, center, order, tuple params,
                      coef, intercept, int nthreads):
    """(the sum of the losses, the number of batches done)."""
    cdef int number = cnp.PyArray_TYPE(x)
    cdef lf_dtype dtype = LF_F32 if number == cnp.NPY_FLOAT else LF_F64
    cdef double[MAX_PARAM] param
    cdef double total = 0
    cdef size_t size, done = 0
    cdef list errors = []
    cdef lf_control control = control_of(nthreads, errors)
    cdef lf_failure failure
    cdef lf_status status
    if cnp.PyArray_NDIM(x) != 2 or (number != cnp.NPY_FLOAT and number != cnp.NPY_DOUBLE) \
            or len(params) != <Py_ssize_t>kernel.nparam:
        raise SystemError("lossfast: a linear model reached the core unprepared")
    call.rows, call.features = cnp.PyArray_DIM(x, 0), cnp.PyArray_DIM(x, 1)
    call.x = dense("x", x, number, cnp.PyArray_SIZE(x))
    call.target = dense("target", target, number, call.rows)
    if weight is not None:
        call.weight = dense("weight", weight, number, call.rows)
    if center is not None:
        call.center = dense("center", center, number, call.features)
    call.coef = writable("coef", coef, number, call.features)
    call.intercept = writable("intercept", intercept, number, 1)
    call.n = call.rows
    if order is not None:
        call.n = cnp.PyArray_SIZE(<cnp.ndarray>order)
        call.order = <const int64_t *>dense("order", order, cnp.NPY_INT64, call.n)
    if call.n == 0:
        return 0.0, 0
    if call.batch == 0 or call.batch > call.n:
        call.batch = call.n
    fill(param, params)
    call.param = param
    call.loss = &total
    size = lf_linear_workspace(dtype, call)
    if size == 0:
        raise MemoryError("lossfast: " + lf_status_string(LF_TOO_LARGE).decode())
    cdef cnp.ndarray workspace = np.empty(size // 8 + 1)
    with nogil:
        status = lf_linear_run(kernel.loss, dtype, call, cnp.PyArray_DATA(workspace), size, &control, &done)
    failure.index = 0
    check(status, failure, errors)
    return total, done


def linear_steps(Kernel kernel not None, cnp.ndarray x not None, target, weight, center, order, tuple params not None,
                 coef, intercept, bint fixed_intercept, size_t batch, rates, double l1, double l2, int nthreads):
    """Steps of gradient descent; returns the sum of the losses and how many batches were finite."""
    cdef lf_linear_call call
    cdef cnp.ndarray rate = rates
    memset(&call, 0, sizeof(call))
    call.rate, call.rates = <const double *>dense("rates", rate, cnp.NPY_DOUBLE, cnp.PyArray_SIZE(rate)), 1
    call.batch, call.fixed_intercept, call.l1, call.l2 = batch, fixed_intercept, l1, l2
    cdef size_t rows = cnp.PyArray_DIM(x, 0) if order is None else cnp.PyArray_SIZE(<cnp.ndarray>order)
    if cnp.PyArray_SIZE(rate) != 1:
        call.rates = cnp.PyArray_SIZE(rate)
        if batch == 0 or call.rates < (rows + batch - 1) // batch:
            raise SystemError("lossfast: fewer rates than batches reached the core")
    return run_linear(kernel, &call, x, target, weight, center, order, params, coef, intercept, nthreads)


def linear_gradient(Kernel kernel not None, cnp.ndarray x not None, target, weight, center, order,
                    tuple params not None, coef, intercept, by_coef, by_intercept, int nthreads):
    """The gradient of one batch, of the rows in `order`; returns the sum of its losses."""
    cdef lf_linear_call call
    memset(&call, 0, sizeof(call))
    call.by_coef = writable("by_coef", by_coef, cnp.PyArray_TYPE(x), cnp.PyArray_DIM(x, 1))
    call.by_intercept = writable("by_intercept", by_intercept, cnp.PyArray_TYPE(x), 1)
    return run_linear(kernel, &call, x, target, weight, center, order, params, coef, intercept, nthreads)[0]
