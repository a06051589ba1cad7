# Boxes: included by _core.pyx.

cdef struct box_views:
    view[4] target, pred, grad
    view weight, value


cdef class BoxKernel:
    """A box loss of the C library, by name.  Boxes are four arrays of one shape; format is 0, 1 or 2 for xyxy, xywh and
    cxcywh."""
    cdef const lf_box *loss
    cdef readonly str name

    def __cinit__(self, str name):
        self.loss = lf_box_find(name.encode())
        if self.loss is NULL:
            raise LookupError(name)
        self.name = name

    def run(self, bint single, target, pred, int format, weight, double eps, bint check_boxes, double scale, value,
            grad, bint want_sum, int nthreads):
        """One call of lf_box_run; returns the sum, if wanted."""
        cdef lf_box_call call
        cdef box_views v
        cdef double total = 0
        cdef list errors = []
        cdef lf_control control = control_of(nthreads, errors)
        cdef lf_failure failure
        cdef lf_status status
        cdef int k
        memset(&call, 0, sizeof(lf_box_call))
        for k in range(4):
            open_view(&v.target[k], target[k]), open_view(&v.pred[k], pred[k])
            open_view(&v.grad[k], None if grad is None else grad[k])
            call.target[k], call.pred[k] = reading(&v.target[k]), reading(&v.pred[k])
            call.grad[k] = writing(&v.grad[k])
        open_view(&v.weight, weight), open_view(&v.value, value)
        call.weight, call.value = reading(&v.weight), writing(&v.value)
        call.n = cnp.PyArray_SIZE(pred[0])
        call.format = <lf_box_format>format
        call.eps, call.check, call.scale = eps, check_boxes, scale
        if want_sum:
            call.sum = &total
        with nogil:
            status = lf_box_run(self.loss, LF_F32 if single else LF_F64, &call, &control, &failure)
        check(status, failure, errors)
        return total if want_sum else None

    def pairwise(self, bint single, boxes1, boxes2, int format, double eps, out, int nthreads):
        """One call of lf_box_pairwise: 1 - loss of each of n boxes and each of m, into out of (n, m)."""
        cdef lf_pairwise_call call
        cdef view[4] first, second
        cdef view result
        cdef list errors = []
        cdef lf_control control = control_of(nthreads, errors)
        cdef lf_failure failure
        cdef lf_status status
        memset(&call, 0, sizeof(lf_pairwise_call)), memset(&failure, 0, sizeof(failure))
        open_boxes(first, call.boxes1, boxes1), open_boxes(second, call.boxes2, boxes2)
        open_view(&result, out)
        call.out = writing(&result)
        call.n, call.m, call.format, call.eps = len(boxes1[0]), len(boxes2[0]), <lf_box_format>format, eps
        with nogil:
            status = lf_box_pairwise(self.loss, LF_F32 if single else LF_F64, &call, &control)
        check(status, failure, errors)


cdef int open_boxes(view *views, lf_in *boxes, columns) except -1:
    cdef int k
    for k in range(4):
        open_view(&views[k], columns[k])
        boxes[k] = reading(&views[k])
    return 0


def nms(bint single, boxes, int format, starts, double threshold, size_t most, keep, int nthreads):
    """One call of lf_nms on four columns of boxes, sorted; keep is an array of bools."""
    cdef lf_dtype dtype = LF_F32 if single else LF_F64
    cdef lf_nms_call call
    cdef view[4] views
    cdef list errors = []
    cdef lf_control control = control_of(nthreads, errors)
    cdef lf_failure failure
    cdef lf_status status
    memset(&call, 0, sizeof(lf_nms_call)), memset(&failure, 0, sizeof(failure))
    open_boxes(views, call.box, boxes)
    call.groups, call.starts = len(starts) - 1, integers(starts, len(starts))
    call.format, call.threshold, call.most = <lf_box_format>format, threshold, most
    call.keep = <uint8_t *>cnp.PyArray_DATA(plain(keep, cnp.NPY_BOOL, len(boxes[0])))
    if call.starts[call.groups] > keep.size:
        raise SystemError("lossfast: boxes reached the core unprepared")
    cdef size_t size = lf_nms_workspace(dtype, &call)
    cdef void *workspace = workspace_of(size)
    with nogil:
        status = lf_nms(dtype, &call, workspace, size, &control)
        free(workspace)
    check(status, failure, errors)


def box_names():
    names = []
    cdef const lf_box *loss = lf_box_at(0)
    while loss is not NULL:
        names.append(lf_box_name(loss).decode())
        loss = lf_box_at(len(names))
    return names
