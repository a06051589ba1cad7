# Region losses: included by _core.pyx.

cdef struct region_views:
    view target, pred, share, weight, value, grad, pixel_weight, pixel_value
    double[MAX_PARAM] param


cdef class RegionKernel:
    """A region loss of the C library, by name.

    Predictions have the samples on their first axis and the classes on their last.  activation: 0, 1 or 2 for none,
    sigmoid and softmax; unchecked: 1 where masks and probabilities are known to be good, 2 where labels are too."""
    cdef const lf_region *loss
    cdef readonly str name
    cdef readonly size_t nparam

    def __cinit__(self, str name):
        self.loss = lf_region_find(name.encode())
        if self.loss is NULL:
            raise LookupError(name)
        self.name = name
        self.nparam = lf_region_nparam(self.loss)

    def check(self, bint single, bint labels, target, pred, int activation, bint squared, ignore, int unchecked,
              int nthreads):
        """The sums of the targets of each class of each sample; DomainError for what is not allowed."""
        cdef lf_region_call call
        cdef region_views v
        cdef list errors = []
        cdef lf_control control = control_of(nthreads, errors)
        cdef lf_failure failure
        cdef lf_status status
        cdef lf_dtype dtype = LF_F32 if single else LF_F64
        self.prepare(&call, &v, labels, target, pred, activation, ignore)
        call.squared, call.unchecked = squared, unchecked
        found = np.zeros((call.samples, call.classes))
        cdef double *totals = <double *>cnp.PyArray_DATA(<cnp.ndarray>found)
        room = self.workspace(dtype, &call, &control)
        with nogil:
            status = lf_region_check(dtype, &call, totals, &control, &failure)
        check(status, failure, errors)
        return found

    def run(self, bint single, bint labels, target, pred, int activation, bint squared, ignore, bint together, share,
            weight, double empty, tuple params, int pixel, double gamma, double alpha, class_weight, pixel_weight,
            int unchecked, double scale, value, pixel_value, grad, bint want_sum, int nthreads):
        """One call of lf_region_run; returns the sum, if wanted."""
        cdef lf_region_call call
        cdef region_views v
        cdef double total = 0
        cdef list errors = []
        cdef lf_control control = control_of(nthreads, errors)
        cdef lf_failure failure
        cdef lf_status status
        cdef lf_dtype dtype = LF_F32 if single else LF_F64
        if len(params) != <Py_ssize_t>self.nparam:
            raise SystemError(f"lossfast: {self.name} takes {self.nparam} parameters")
        self.prepare(&call, &v, labels, target, pred, activation, ignore)
        call.squared, call.together, call.empty, call.scale = squared, together, empty, scale
        open_view(&v.share, share), open_view(&v.weight, weight)
        open_view(&v.value, value), open_view(&v.grad, grad)
        open_view(&v.pixel_weight, pixel_weight), open_view(&v.pixel_value, pixel_value)
        call.share, call.weight = reading(&v.share), reading(&v.weight)
        call.pixel_weight, call.pixel_value = reading(&v.pixel_weight), writing(&v.pixel_value)
        call.pixel, call.gamma, call.alpha = <lf_pixel>pixel, gamma, alpha
        if class_weight is not None:
            call.class_weight = class_weights(class_weight, call.classes)
        call.value, call.grad = writing(&v.value), writing(&v.grad)
        fill(v.param, params)
        call.param = v.param
        call.unchecked = unchecked
        if want_sum:
            call.sum = &total
        room = self.workspace(dtype, &call, &control)
        with nogil:
            status = lf_region_run(self.loss, dtype, &call, &control, &failure)
        check(status, failure, errors)
        return total if want_sum else None

    cdef int prepare(self, lf_region_call *call, region_views *v, bint labels, target, pred, int activation,
                     ignore) except -1:
        cdef int ndim = cnp.PyArray_NDIM(pred)
        memset(call, 0, sizeof(lf_region_call))
        open_view(&v.target, target), open_view(&v.pred, pred)
        call.samples, call.classes = cnp.PyArray_DIM(pred, 0), cnp.PyArray_DIM(pred, ndim - 1)
        call.positions = 1
        for k in range(1, ndim - 1):
            call.positions *= cnp.PyArray_DIM(pred, k)
        if call.classes > LF_MAX_CLASSES:
            raise ValueError(f"y_pred has {call.classes} classes, expected at most {LF_MAX_CLASSES}")
        call.pred, call.target = reading(&v.pred), reading(&v.target)
        call.labels, call.activation = labels, <lf_activation>activation
        if ignore is not None:
            call.has_ignore, call.ignore = True, ignore
        return 0

    cdef object workspace(self, lf_dtype dtype, lf_region_call *call, lf_control *control):
        """The memory of the call, which must live as long as it."""
        cdef size_t size = lf_region_workspace(dtype, call, control)
        room = np.empty(size, np.uint8)
        call.workspace_size = size
        call.workspace = cnp.PyArray_DATA(<cnp.ndarray>room)
        return room


def region_names():
    names = []
    cdef const lf_region *loss = lf_region_at(0)
    while loss is not NULL:
        names.append(lf_region_name(loss).decode())
        loss = lf_region_at(len(names))
    return names


def confusion(target, pred, size_t classes, ignore, counts, int nthreads):
    """One call of lf_confusion, which adds to the counts."""
    cdef lf_confusion_call call
    cdef view t, p
    cdef list errors = []
    cdef lf_control control = control_of(nthreads, errors)
    cdef lf_failure failure
    cdef lf_status status
    memset(&call, 0, sizeof(call))
    memset(&failure, 0, sizeof(failure))
    open_view(&t, target), open_view(&p, pred)
    call.target, call.pred = reading(&t), reading(&p)
    call.n, call.classes = target.size, classes
    if pred.size != target.size:
        raise SystemError("lossfast: labels reached the core unprepared")
    if ignore is not None:
        call.has_ignore, call.ignore = True, ignore
    call.counts = integers(counts, classes * classes)
    cdef size_t size
    check(lf_confusion_workspace(&call, &control, &size), failure, errors)
    cdef void *workspace = workspace_of(size)
    with nogil:
        status = lf_confusion(&call, workspace, size, &control, &failure)
        free(workspace)
    check(status, failure, errors)
