"""Connectionist temporal classification."""
from libc.stdlib cimport free, malloc


def ctc(bint single, cnp.ndarray logits not None, cnp.ndarray labels not None, label_lengths, logit_lengths,
        long long blank, bint log_probabilities, scale, value, grad, posteriors, int nthreads):
    """One call of lf_ctc_run: see the specification, lossfast._numpy_sequence.ctc."""
    cdef lf_ctc_call call
    cdef view z, y, label_length, logit_length, s, v, g, p
    cdef size_t size = 0
    cdef void *workspace
    cdef list errors = []
    cdef lf_control control = control_of(nthreads, errors)
    cdef lf_failure failure
    cdef lf_dtype dtype = LF_F32 if single else LF_F64
    cdef lf_status status
    memset(&call, 0, sizeof(call))
    open_view(&z, logits), open_view(&y, labels)
    open_view(&label_length, label_lengths), open_view(&logit_length, logit_lengths)
    open_view(&s, scale), open_view(&v, value), open_view(&g, grad), open_view(&p, posteriors)
    call.samples, call.frames, call.classes = z.layout.shape[0], z.layout.shape[1], z.layout.shape[2]
    call.logits, call.labels, call.scale = reading(&z), reading(&y), reading(&s)
    call.concatenated = y.layout.ndim == 1
    call.nlabels = y.layout.shape[0] if y.layout.ndim == 1 else 0
    call.max_labels = y.layout.shape[1] if y.layout.ndim == 2 else 0
    call.label_lengths = lf_in(label_length.data, LF_I64, 8, NULL)
    call.logit_lengths = lf_in(logit_length.data, LF_I64, 8, NULL)
    call.blank = blank
    call.log_probabilities = log_probabilities
    call.value, call.grad, call.posteriors = writing(&v), writing(&g), writing(&p)
    if posteriors is not None:
        call.max_labels = (p.layout.shape[2] - 1) // 2
    check_sequence(lf_ctc_workspace(dtype, &call, &control, &size, &failure), failure, errors, label_lengths)
    if not call.samples:
        return
    workspace = malloc(size)
    if workspace is NULL:
        raise MemoryError(f"{size} bytes of working memory")
    with nogil:
        status = lf_ctc_run(dtype, &call, workspace, size, &control, &failure)
        free(workspace)
    check_sequence(status, failure, errors, label_lengths)


cdef int check_sequence(lf_status status, lf_failure failure, list errors, label_lengths) except -1:
    """As check; lengths that do not add up are told by their sum."""
    if status == LF_BAD_LABEL_LENGTH and failure.index == len(label_lengths):
        raise DomainError("label_lengths", int(label_lengths.sum()))
    if status == LF_BAD_TARGET:
        raise DomainError("label", failure.index)
    return check(status, failure, errors)
