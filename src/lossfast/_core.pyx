# cython: language_level=3, freethreading_compatible=True, boundscheck=False, wraparound=False, embedsignature=False
"""The door to lossfast.h: prepared arrays in, exceptions out.

`Pointwise` is the base class of the pointwise losses: calls on plain arrays go straight to C, all others to
`_general`, which Python defines.
"""
cimport numpy as cnp
from cpython.exc cimport PyErr_CheckSignals
from libc.string cimport memset

import numpy as np

from lossfast._errors import THREADS_MAX, DomainError

cnp.import_array()

cdef enum:
    MAX_PARAM = 5  # of any loss


cdef dict OPERAND = {LF_BAD_TARGET: "target", LF_BAD_PRED: "pred", LF_BAD_WEIGHT: "weight", LF_BAD_STREAM: "stream",
                     LF_BAD_LABEL_LENGTH: "label_length", LF_BAD_LOGIT_LENGTH: "logit_length"}


cdef int interrupted(void *context) noexcept nogil:
    """Ctrl-C during a long call: the pending exception is raised by `check`."""
    with gil:
        try:
            PyErr_CheckSignals()
        except BaseException as error:
            (<list>context).append(error)
            return 1
    return 0


cdef int check(lf_status status, lf_failure failure, list errors) except -1:
    """The only place where a status becomes an exception."""
    if status == LF_OK:
        return 0
    if status == LF_INTERRUPTED:
        raise errors[0]
    if status == LF_TOO_LARGE:
        raise MemoryError("lossfast: " + lf_status_string(status).decode())
    if status == LF_BAD_ARGUMENT:
        raise SystemError("lossfast: " + lf_status_string(status).decode())
    raise DomainError(OPERAND[status], failure.index)


cdef lf_control control_of(int nthreads, list errors) noexcept:
    cdef lf_control control
    control.nthreads = nthreads
    control.interrupted = interrupted
    control.context = <void *>errors
    return control


cdef int dtype_of(cnp.ndarray x) except -1:
    cdef int number = cnp.PyArray_TYPE(x)
    cdef Py_ssize_t size = cnp.PyArray_ITEMSIZE(x)
    if number == cnp.NPY_FLOAT:
        return LF_F32
    if number == cnp.NPY_DOUBLE:
        return LF_F64
    if number == cnp.NPY_BOOL:
        return LF_BOOL
    if number == cnp.NPY_FLOAT16:
        return LF_F16
    if cnp.PyTypeNum_ISUNSIGNED(number):
        return LF_U8 if size == 1 else LF_U16 if size == 2 else LF_U32 if size == 4 else LF_U64
    if cnp.PyTypeNum_ISINTEGER(number):
        return LF_I8 if size == 1 else LF_I16 if size == 2 else LF_I32 if size == 4 else LF_I64
    if x.dtype.name == "bfloat16":
        return LF_BF16
    raise SystemError(f"lossfast: array of dtype {x.dtype} reached the core")


cdef struct view:
    const void *data
    lf_dtype dtype
    lf_layout layout


cdef int open_view(view *v, x) except -1:
    """Of None: no data."""
    cdef cnp.ndarray a
    memset(v, 0, sizeof(view))
    if x is not None:
        a = x
        v.data = cnp.PyArray_DATA(a)
        v.dtype = <lf_dtype>dtype_of(a)
        v.layout = lf_layout(cnp.PyArray_NDIM(a), <const size_t *>cnp.PyArray_DIMS(a),
                             <const ptrdiff_t *>cnp.PyArray_STRIDES(a))
    return 0


cdef inline lf_in reading(view *v) noexcept:
    return lf_in(v.data, v.dtype, 0, &v.layout)


cdef inline lf_out writing(view *v) noexcept:
    return lf_out(<void *>v.data, v.dtype, 0, &v.layout)


cdef exact_integer(lf_exact *sum):
    """The sum times 2**1088 as a Python integer."""
    cdef int i
    lf_exact_carry(sum)
    cdef bytearray digits = bytearray(4 * (LF_EXACT_LIMBS - 1))
    cdef unsigned char[::1] out = digits
    for i in range(4 * (LF_EXACT_LIMBS - 1)):
        out[i] = <unsigned char>((sum.limb[i // 4] >> (8 * (i % 4))) & 0xff)
    return int.from_bytes(digits, "little") + (int(sum.limb[LF_EXACT_LIMBS - 1]) << (32 * (LF_EXACT_LIMBS - 1)))


cdef class Kernel:
    """A pointwise loss of the C library, by name."""
    cdef const lf_pointwise *loss
    cdef readonly str name
    cdef readonly size_t nparam

    def __cinit__(self, str name):
        self.loss = lf_pointwise_find(name.encode())
        if self.loss is NULL:
            raise LookupError(name)
        self.name = name
        self.nparam = lf_pointwise_nparam(self.loss)

    def domains(self, bint single):
        """((low, high, sign labels), ...) of target, prediction and parameter array."""
        cdef lf_dtype dtype = LF_F32 if single else LF_F64
        domains = [lf_pointwise_domain(self.loss, dtype, s) for s in (LF_BAD_TARGET, LF_BAD_PRED, LF_BAD_STREAM)]
        return tuple((d["low"], d["high"], bool(d["sign_labels"])) for d in domains)

    def run(self, bint single, target, pred, weight, stream, tuple params, double scale, value, grad, hess,
            bint want_sum, row_sums, size_t row, bint check_domain, int nthreads):
        """One call of lf_pointwise_run on arrays of one shape; returns the sum, if wanted.

        single: compute in float32.  row_sums: float64 array of a sum for every `row` elements."""
        cdef lf_call call = self.prepare(params)
        cdef view t, p, w, s, v, g, h
        cdef double[MAX_PARAM] param
        cdef double total = 0
        open_view(&t, target), open_view(&p, pred), open_view(&w, weight), open_view(&s, stream)
        open_view(&v, value), open_view(&g, grad), open_view(&h, hess)
        call.n = cnp.PyArray_SIZE(pred)
        call.target, call.pred, call.weight, call.stream = reading(&t), reading(&p), reading(&w), reading(&s)
        call.value, call.grad, call.hess = writing(&v), writing(&g), writing(&h)
        fill(param, params)
        call.param = param
        call.unchecked = not check_domain
        call.scale = scale
        if want_sum:
            call.sum = &total
        elif row_sums is not None:
            call.sum = <double *>cnp.PyArray_DATA(row_sums)
            call.row = row
        self.go(single, &call, nthreads)
        return total if want_sum else None

    def moments(self, bint single, target, pred, weight, stream, tuple params, bint check_domain, int nthreads):
        """Exact sums of the weights, losses and squared losses (times 2**1088), counts and extremes."""
        cdef lf_call call = self.prepare(params)
        cdef view t, p, w, s
        cdef double[MAX_PARAM] param
        cdef lf_moments m
        memset(&m, 0, sizeof(m))
        open_view(&t, target), open_view(&p, pred), open_view(&w, weight), open_view(&s, stream)
        call.n = cnp.PyArray_SIZE(pred)
        call.target, call.pred, call.weight, call.stream = reading(&t), reading(&p), reading(&w), reading(&s)
        fill(param, params)
        call.param = param
        call.unchecked = not check_domain
        call.moments = &m
        self.go(single, &call, nthreads)
        return moments_of(&m)

    cdef lf_call prepare(self, tuple params) except *:
        cdef lf_call call
        if len(params) != <Py_ssize_t>self.nparam:
            raise SystemError(f"lossfast: {self.name} takes {self.nparam} parameters")
        memset(&call, 0, sizeof(call))
        return call

    cdef int go(self, bint single, lf_call *call, int nthreads) except -1:
        cdef list errors = []
        cdef lf_control control = control_of(nthreads, errors)
        cdef lf_failure failure
        cdef lf_status status
        with nogil:
            status = lf_pointwise_run(self.loss, LF_F32 if single else LF_F64, call, &control, &failure)
        return check(status, failure, errors)


cdef const double *class_weights(cnp.ndarray weights, size_t classes) except NULL:
    if cnp.PyArray_TYPE(weights) != cnp.NPY_DOUBLE or not cnp.PyArray_ISCARRAY_RO(weights) \
            or <size_t>cnp.PyArray_SIZE(weights) != classes:
        raise SystemError("lossfast: class weights reached the core unprepared")
    return <const double *>cnp.PyArray_DATA(weights)


cdef struct row_views:
    view target, pred, weight, temperature, value, grad, hess
    double[MAX_PARAM] param


cdef class RowKernel:
    """A class loss of the C library, by name.  Arrays have the classes on their last axis."""
    cdef const lf_rowwise *loss
    cdef readonly str name
    cdef readonly size_t nparam

    def __cinit__(self, str name):
        self.loss = lf_rowwise_find(name.encode())
        if self.loss is NULL:
            raise LookupError(name)
        self.name = name
        self.nparam = lf_rowwise_nparam(self.loss)

    def check(self, bint single, bint labels, target, pred, weight, class_weight, temperature, ignore, int nthreads):
        """(rows that are not ignored, the sum of their weights); DomainError for what is not allowed."""
        cdef lf_row_call call
        cdef row_views v
        cdef lf_row_totals totals
        cdef list errors = []
        cdef lf_control control = control_of(nthreads, errors)
        cdef lf_failure failure
        cdef lf_status status
        self.prepare(&call, &v, labels, target, pred, weight, class_weight, temperature, ignore, ())
        with nogil:
            status = lf_rowwise_check(LF_F32 if single else LF_F64, &call, &totals, &control, &failure)
        if status == LF_BAD_STREAM:
            raise DomainError("temperature", failure.index)
        check(status, failure, errors)
        return totals.kept, totals.weight

    def run(self, bint single, bint labels, target, pred, weight, class_weight, temperature, tuple params, ignore,
            double label_smoothing, double z_loss, double scale, value, grad, hess, bint want_sum, int nthreads):
        """One call of lf_rowwise_run after `check`; returns the sum, if wanted."""
        cdef lf_row_call call
        cdef row_views v
        cdef double total = 0
        self.prepare(&call, &v, labels, target, pred, weight, class_weight, temperature, ignore, params)
        call.label_smoothing, call.z_loss, call.scale = label_smoothing, z_loss, scale
        open_view(&v.value, value), open_view(&v.grad, grad), open_view(&v.hess, hess)
        call.value, call.grad, call.hess = writing(&v.value), writing(&v.grad), writing(&v.hess)
        if want_sum:
            call.sum = &total
        self.go(single, &call, nthreads)
        return total if want_sum else None

    def moments(self, bint single, bint labels, target, pred, weight, class_weight, temperature, tuple params, ignore,
                double label_smoothing, double z_loss, int nthreads):
        """As Kernel.moments, of the rows that are not ignored; after `check`."""
        cdef lf_row_call call
        cdef row_views v
        cdef lf_moments m
        memset(&m, 0, sizeof(m))
        self.prepare(&call, &v, labels, target, pred, weight, class_weight, temperature, ignore, params)
        call.label_smoothing, call.z_loss = label_smoothing, z_loss
        call.moments = &m
        self.go(single, &call, nthreads)
        return moments_of(&m)

    cdef int prepare(self, lf_row_call *call, row_views *v, bint labels, target, pred, weight, class_weight,
                     temperature, ignore, tuple params) except -1:
        cdef int ndim = cnp.PyArray_NDIM(pred)
        memset(call, 0, sizeof(lf_row_call))
        open_view(&v.target, target), open_view(&v.pred, pred)
        open_view(&v.weight, weight), open_view(&v.temperature, temperature)
        call.classes = cnp.PyArray_DIM(pred, ndim - 1)
        call.rows = cnp.PyArray_SIZE(pred) // call.classes if call.classes else 0
        if call.classes > LF_MAX_CLASSES:
            raise ValueError(f"y_pred has {call.classes} classes, expected at most {LF_MAX_CLASSES}")
        call.pred, call.target = reading(&v.pred), reading(&v.target)
        call.weight, call.temperature = reading(&v.weight), reading(&v.temperature)
        call.labels = labels
        if ignore is not None:
            call.has_ignore, call.ignore = True, ignore
        if class_weight is not None:
            call.class_weight = class_weights(class_weight, call.classes)
        fill(v.param, params)
        call.param = v.param
        call.unchecked = True
        return 0

    cdef int go(self, bint single, lf_row_call *call, int nthreads) except -1:
        cdef list errors = []
        cdef lf_control control = control_of(nthreads, errors)
        cdef lf_failure failure
        cdef lf_status status
        with nogil:
            status = lf_rowwise_run(self.loss, LF_F32 if single else LF_F64, call, &control, &failure)
        return check(status, failure, errors)


include "_box.pxi"
include "_region.pxi"


cdef tuple moments_of(lf_moments *m):
    return (exact_integer(&m.weight), exact_integer(&m.loss), exact_integer(&m.square), m.count, m.nan,
            m.positive_inf, m.negative_inf, m.overflow, m.min, m.max)


cdef int fill(double *param, tuple params) except -1:
    cdef Py_ssize_t i
    for i in range(MAX_PARAM):
        param[i] = params[i] if i < len(params) else 0
    return 0


cdef class Pointwise:
    """Calls of two plain arrays (contiguous, of one shape, y_pred float32 or float64) with at most out=, n_threads= and
    check=False; `_general` does the rest."""
    cdef const lf_pointwise *fast
    cdef double[2][MAX_PARAM] fast_param

    cdef _prepare_fast(self, Kernel kernel, tuple single, tuple double_):
        self.fast = kernel.loss
        fill(self.fast_param[0], single)
        fill(self.fast_param[1], double_)

    def _set_fast(self, Kernel kernel not None, tuple single not None, tuple double_ not None):
        """The kernel and parameters (for float32 and for float64 arithmetic) of this loss without arrays in them."""
        self._prepare_fast(kernel, single, double_)

    cdef object quick(self, int want, tuple args, dict kwargs):
        """The result, or None where the general way must be gone: also to find the words for an error."""
        cdef cnp.ndarray target, pred, grad = None, hess = None
        cdef object out = None, candidate, given
        cdef double total
        cdef lf_call call
        cdef lf_control control
        cdef lf_failure failure
        cdef lf_status status
        cdef bint unchecked = False
        cdef int nthreads = 0
        cdef int number, nouts = ((want & 1) != 0) + ((want & 2) != 0) + ((want & 4) != 0), k = 0
        cdef size_t n
        cdef list errors
        if self.fast is NULL or len(args) != 2:
            return None
        if kwargs:
            out = kwargs.get("out")
            unchecked = kwargs.get("check") is False
            given = kwargs.get("n_threads")
            if type(given) is int and 0 < given <= THREADS_MAX:
                nthreads = given
            if len(kwargs) != (out is not None) + unchecked + (nthreads > 0):
                return None
            if out is not None and nouts > 1 and (type(out) is not tuple or len(<tuple>out) != nouts):
                return None
        if type(args[0]) is not cnp.ndarray or type(args[1]) is not cnp.ndarray:
            return None
        target, pred = args[0], args[1]
        number = cnp.PyArray_TYPE(pred)
        n = cnp.PyArray_SIZE(pred)
        if (number != cnp.NPY_FLOAT and number != cnp.NPY_DOUBLE) or n == 0 or not cnp.PyArray_ISCARRAY_RO(pred) \
                or not cnp.PyArray_ISCARRAY_RO(target) or not cnp.PyArray_SAMESHAPE(target, pred):
            return None
        if cnp.PyArray_TYPE(target) > cnp.NPY_DOUBLE:  # beyond bool, the integers, float32 and float64
            return None
        memset(&call, 0, sizeof(call))
        if want & 1:
            call.sum = &total
            if out is not None:
                if nouts == 1 or (<tuple>out)[0] is not None:
                    return None
                k = 1
        if want & 2:
            candidate = None if out is None else (<tuple>out)[k] if nouts > 1 else out
            k += 1
            grad = self.output(candidate, pred, target, number)
            if grad is None:
                return None
            call.grad = lf_output(cnp.PyArray_DATA(grad), LF_F32 if number == cnp.NPY_FLOAT else LF_F64)
        if want & 4:
            candidate = None if out is None else (<tuple>out)[k] if nouts > 1 else out
            hess = self.output(candidate, pred, target, number)
            if hess is None or hess is grad:
                return None
            call.hess = lf_output(cnp.PyArray_DATA(hess), LF_F32 if number == cnp.NPY_FLOAT else LF_F64)
        if candidates_overlap(grad, hess):
            return None
        call.n = n
        call.target = lf_vector(cnp.PyArray_DATA(target), <lf_dtype>dtype_of(target))
        call.pred = lf_vector(cnp.PyArray_DATA(pred), LF_F32 if number == cnp.NPY_FLOAT else LF_F64)
        call.unchecked = unchecked
        call.param = self.fast_param[0 if number == cnp.NPY_FLOAT else 1]
        call.scale = 1.0 / <double>n
        if n <= 4096:
            status = lf_pointwise_run(self.fast, call.pred.dtype, &call, NULL, &failure)
        else:
            errors = []
            control = control_of(nthreads, errors)
            with nogil:
                status = lf_pointwise_run(self.fast, call.pred.dtype, &call, &control, &failure)
            if status == LF_INTERRUPTED:
                raise errors[0]
        if status != LF_OK:
            return None
        total /= <double>n
        if want == 1:
            return total
        if want == 2:
            return grad
        if want == 3:
            return total, grad
        if want == 4:
            return hess
        if want == 6:
            return grad, hess
        return total, grad, hess

    cdef cnp.ndarray output(self, given, cnp.ndarray pred, cnp.ndarray target, int number):
        """The array to write to: new, or the caller's if nothing needs to be said about it."""
        cdef cnp.ndarray a
        if given is None:
            return cnp.PyArray_EMPTY(cnp.PyArray_NDIM(pred), cnp.PyArray_DIMS(pred), number, 0)
        if type(given) is not cnp.ndarray:
            return None
        a = given
        if cnp.PyArray_TYPE(a) != number or not cnp.PyArray_ISCARRAY(a) or not cnp.PyArray_SAMESHAPE(a, pred) \
                or candidates_overlap(a, pred) or candidates_overlap(a, target):
            return None
        return a

    def __call__(self, *args, **kwargs):
        """The value: a float, or an array with reduction="none" or "sample"."""
        result = self.quick(1, args, kwargs)
        return self._general(1, args, kwargs) if result is None else result

    def grad(self, *args, **kwargs):
        """The gradient of the reduced value by y_pred."""
        result = self.quick(2, args, kwargs)
        return self._general(2, args, kwargs) if result is None else result

    def hess(self, *args, **kwargs):
        """The diagonal of the Hessian of the reduced value by y_pred."""
        result = self.quick(4, args, kwargs)
        return self._general(4, args, kwargs) if result is None else result

    def value_and_grad(self, *args, **kwargs):
        """Value and gradient, in one pass."""
        result = self.quick(3, args, kwargs)
        return self._general(3, args, kwargs) if result is None else result

    def grad_and_hess(self, *args, **kwargs):
        """Gradient and Hessian, in one pass."""
        result = self.quick(6, args, kwargs)
        return self._general(6, args, kwargs) if result is None else result

    def value_grad_hess(self, *args, **kwargs):
        """Value, gradient and Hessian, in one pass."""
        result = self.quick(7, args, kwargs)
        return self._general(7, args, kwargs) if result is None else result


cdef bint candidates_overlap(cnp.ndarray a, cnp.ndarray b) noexcept:
    """Of contiguous arrays; None overlaps nothing."""
    if a is None or b is None:
        return False
    cdef char *x = <char *>cnp.PyArray_DATA(a)
    cdef char *y = <char *>cnp.PyArray_DATA(b)
    return x < y + cnp.PyArray_NBYTES(b) and y < x + cnp.PyArray_NBYTES(a)


def weight_sum(weight, int nthreads):
    """The sum of an array of weights; DomainError if one is negative or not finite."""
    cdef view w
    cdef double total = 0
    cdef list errors = []
    cdef lf_control control = control_of(nthreads, errors)
    cdef lf_failure failure
    cdef lf_status status
    open_view(&w, weight)
    cdef lf_in weights = reading(&w)
    cdef size_t n = cnp.PyArray_SIZE(weight)
    with nogil:
        status = lf_weight_sum(weights, n, &total, &control, &failure)
    check(status, failure, errors)
    return total


def pointwise_names():
    names = []
    cdef const lf_pointwise *loss = lf_pointwise_at(0)
    while loss is not NULL:
        names.append(lf_pointwise_name(loss).decode())
        loss = lf_pointwise_at(len(names))
    return names


def rowwise_names():
    names = []
    cdef const lf_rowwise *loss = lf_rowwise_at(0)
    while loss is not NULL:
        names.append(lf_rowwise_name(loss).decode())
        loss = lf_rowwise_at(len(names))
    return names


def vecmath(str name, cnp.ndarray x not None):
    """f(x) for a function of csrc/vecmath.h and a contiguous float32 or float64 array."""
    y = np.empty_like(x)
    cdef size_t n = cnp.PyArray_SIZE(x)
    cdef lf_status status = LF_BAD_ARGUMENT
    if cnp.PyArray_ISCARRAY_RO(x) and cnp.PyArray_TYPE(x) in (cnp.NPY_FLOAT, cnp.NPY_DOUBLE):
        status = lf_vecmath(name.encode(), <lf_dtype>dtype_of(x), n, cnp.PyArray_DATA(x),
                            cnp.PyArray_DATA(<cnp.ndarray>y))
    if status != LF_OK:
        raise ValueError(name)
    return y


def isa():
    return lf_isa().decode()


def set_isa(str name not None):
    """Returns whether this CPU and build have it."""
    return lf_set_isa(name.encode()) == LF_OK


def set_num_threads(int n):
    lf_set_num_threads(n)


def get_num_threads():
    return lf_get_num_threads()


include "_sequence.pxi"
include "_decoding.pxi"
include "_embedding.pxi"
include "_optim.pxi"
include "_linear.pxi"
include "_ranking.pxi"
