# Steps of optimizers over lists of arrays: included by _core.pyx.
from cpython.mem cimport PyMem_Calloc, PyMem_Free


cdef enum:
    MAX_STEP_PARAM = 8


cdef bint is_float(cnp.ndarray a) noexcept:
    cdef int number = cnp.PyArray_TYPE(a)
    return (number == cnp.NPY_FLOAT or number == cnp.NPY_DOUBLE or number == cnp.NPY_FLOAT16) \
        and cnp.PyArray_ISALIGNED(a) and cnp.PyArray_ISNOTSWAPPED(a)


def plain_gradients(list weights not None, list grads not None, cnp.ndarray lows not None,
                    cnp.ndarray highs not None):
    """Whether all gradients can be read as they are: float16, float32 or float64 in the shapes of the weights, and none
    within the addresses lows[i] ... highs[i] - 1 of weights, sorted and apart."""
    cdef Py_ssize_t i, low, high, middle, n = cnp.PyArray_SIZE(lows)
    cdef size_t *first = <size_t *>cnp.PyArray_DATA(lows)
    cdef size_t *last = <size_t *>cnp.PyArray_DATA(highs)
    cdef size_t from_, to
    cdef cnp.ndarray g
    if len(grads) != len(weights) or cnp.PyArray_SIZE(highs) != n:
        return False
    for i in range(len(weights)):
        if type(grads[i]) is not cnp.ndarray:
            return False
        g = grads[i]
        if not is_float(g) or not cnp.PyArray_SAMESHAPE(g, <cnp.ndarray>weights[i]):
            return False
        if cnp.PyArray_SIZE(g) == 0:
            continue
        from_ = to = <size_t>cnp.PyArray_DATA(g)
        for middle in range(cnp.PyArray_NDIM(g)):
            if cnp.PyArray_STRIDES(g)[middle] < 0:
                from_ -= <size_t>(-cnp.PyArray_STRIDES(g)[middle] * (cnp.PyArray_DIMS(g)[middle] - 1))
            else:
                to += <size_t>(cnp.PyArray_STRIDES(g)[middle] * (cnp.PyArray_DIMS(g)[middle] - 1))
        to += cnp.PyArray_ITEMSIZE(g)
        low, high = 0, n
        while low < high:
            middle = (low + high) // 2
            if last[middle] > from_:
                high = middle
            else:
                low = middle + 1
        if low < n and first[low] < to:
            return False
    return True


cdef struct step_place:
    lf_layout weight, grad


cdef class StepArrays:
    """The arrays of one call; it lives as long as the call, and the arrays as long as it."""
    cdef lf_step_array *array
    cdef step_place *place
    cdef Py_ssize_t n

    def __cinit__(self, list grads not None):
        self.n = len(grads)
        self.array = <lf_step_array *>PyMem_Calloc(self.n + 1, sizeof(lf_step_array))
        self.place = <step_place *>PyMem_Calloc(self.n + 1, sizeof(step_place))
        if self.array is NULL or self.place is NULL:
            raise MemoryError()
        cdef Py_ssize_t i
        cdef cnp.ndarray g
        for i in range(self.n):
            g = grads[i]
            self.array[i].n = cnp.PyArray_SIZE(g)
            self.array[i].grad = lf_in(cnp.PyArray_DATA(g), <lf_dtype>dtype_of(g), cnp.PyArray_ITEMSIZE(g),
                                       layout_of(g, &self.place[i].grad))

    def __dealloc__(self):
        PyMem_Free(self.array)
        PyMem_Free(self.place)

    cdef int add_weights(self, bint single, list weights, list states, Py_ssize_t nstate) except -1:
        """states: those of the first array, then those of the second, ..."""
        cdef int number = cnp.NPY_FLOAT if single else cnp.NPY_DOUBLE
        cdef Py_ssize_t i, k
        cdef cnp.ndarray w, s
        if len(weights) != self.n or len(states) != self.n * nstate:
            raise SystemError("lossfast: not as many weights and states as gradients")
        for i in range(self.n):
            w = weights[i]
            if cnp.PyArray_TYPE(w) != number or not cnp.PyArray_ISBEHAVED(w) \
                    or <size_t>cnp.PyArray_SIZE(w) != self.array[i].n:
                raise ValueError(f"params[{i}] has changed its shape or become read-only since the optimizer was made")
            self.array[i].weight = lf_out(cnp.PyArray_DATA(w), LF_F32 if single else LF_F64, cnp.PyArray_ITEMSIZE(w),
                                          layout_of(w, &self.place[i].weight))
            for k in range(nstate):
                s = states[i * nstate + k]
                if cnp.PyArray_TYPE(s) != number or not cnp.PyArray_ISCARRAY(s) \
                        or <size_t>cnp.PyArray_SIZE(s) != self.array[i].n:
                    raise SystemError("lossfast: a state reached the core unprepared")
                self.array[i].state[k] = cnp.PyArray_DATA(s)
        return 0


cdef const lf_layout *layout_of(cnp.ndarray a, lf_layout *place) noexcept:
    """None of a contiguous array, which has one stride."""
    if cnp.PyArray_IS_C_CONTIGUOUS(a):
        return NULL
    place[0] = lf_layout(cnp.PyArray_NDIM(a), <const size_t *>cnp.PyArray_DIMS(a),
                         <const ptrdiff_t *>cnp.PyArray_STRIDES(a))
    return place


def optimizer_step(str name not None, bint single, list weights not None, list grads not None, list states not None,
                   tuple params not None, double scale, double clip, double decay, double keep, int nthreads):
    """One call of lf_step_run; gradients must not overlap what is written."""
    cdef const lf_step *step = lf_step_find(name.encode())
    cdef double[MAX_STEP_PARAM] param
    cdef lf_step_call call
    cdef lf_control control
    cdef lf_failure failure
    cdef lf_status status
    cdef Py_ssize_t k
    if step is NULL or len(params) != <Py_ssize_t>lf_step_nparam(step) or len(params) > MAX_STEP_PARAM:
        raise SystemError(f"lossfast: no step {name} of {len(params)} parameters")
    for k in range(len(params)):
        param[k] = params[k]
    cdef StepArrays arrays = StepArrays(grads)
    arrays.add_weights(single, weights, states, lf_step_nstate(step))
    call.narrays, call.array, call.param = arrays.n, arrays.array, param
    call.scale, call.clip, call.decay, call.keep = scale, clip, decay, keep
    memset(&control, 0, sizeof(control))
    control.nthreads = nthreads
    with nogil:
        status = lf_step_run(step, LF_F32 if single else LF_F64, &call, &control)
    failure.index = 0
    check(status, failure, [])


def gradient_norm(bint single, list grads not None, int nthreads):
    """The Euclidean norm of all of them together."""
    cdef StepArrays arrays = StepArrays(grads)
    cdef lf_control control
    cdef lf_failure failure
    cdef lf_status status
    cdef double norm = 0
    memset(&control, 0, sizeof(control))
    control.nthreads = nthreads
    with nogil:
        status = lf_step_norm(LF_F32 if single else LF_F64, arrays.n, arrays.array, &norm, &control)
    failure.index = 0
    check(status, failure, [])
    return norm


def first_nonfinite(bint single, list grads not None, int nthreads):
    """(array, flat position) of the first NaN or infinity, or None."""
    cdef StepArrays arrays = StepArrays(grads)
    cdef lf_control control
    cdef lf_failure failure
    cdef lf_status status
    cdef size_t array = 0, at = 0
    memset(&control, 0, sizeof(control))
    control.nthreads = nthreads
    with nogil:
        status = lf_step_check(LF_F32 if single else LF_F64, arrays.n, arrays.array, &array, &at, &control)
    failure.index = 0
    check(status, failure, [])
    return None if <Py_ssize_t>array == arrays.n else (array, at)


def step_names():
    """{name: (states, parameters)}."""
    names = {}
    cdef const lf_step *step = lf_step_at(0)
    while step is not NULL:
        names[lf_step_name(step).decode()] = (lf_step_nstate(step), lf_step_nparam(step))
        step = lf_step_at(len(names))
    return names
