# Box losses: included by _core.pyx.

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


def box_names():
    names = []
    cdef const lf_box *loss = lf_box_at(0)
    while loss is not NULL:
        names.append(lf_box_name(loss).decode())
        loss = lf_box_at(len(names))
    return names
