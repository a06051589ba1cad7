"""Paths through frames and edit distance: arrays that Python has prepared, and room to work in."""
cdef cnp.ndarray plain(x, int number, Py_ssize_t size):
    """An array that C reads or writes as a vector of `size` elements."""
    cdef cnp.ndarray a = x
    if cnp.PyArray_TYPE(a) != number or not cnp.PyArray_ISCARRAY_RO(a) or cnp.PyArray_SIZE(a) != size:
        raise SystemError("lossfast: an array reached the core unprepared")
    return a


cdef int64_t *integers(x, Py_ssize_t size) except? NULL:
    return <int64_t *>cnp.PyArray_DATA(plain(x, cnp.NPY_INT64, size))


cdef double *doubles(x, Py_ssize_t size) except? NULL:
    return <double *>cnp.PyArray_DATA(plain(x, cnp.NPY_DOUBLE, size))


cdef void *workspace_of(size_t size) except NULL:
    cdef void *workspace = malloc(size)
    if workspace is NULL:
        raise MemoryError(f"{size} bytes of working memory")
    return workspace


cdef int open_frames(lf_ctc_input *input, view *v, logits, logit_lengths, int64_t blank,
                     bint log_probabilities) except -1:
    open_view(v, logits)
    input.samples, input.frames, input.classes = (<object>logits).shape
    if input.classes > LF_MAX_CLASSES:
        raise ValueError(f"logits has {input.classes} classes, expected at most {LF_MAX_CLASSES}")
    input.logits = reading(v)
    input.log_probabilities = log_probabilities
    input.blank = blank
    input.logit_lengths = NULL
    if logit_lengths is not None:
        input.logit_lengths = integers(logit_lengths, input.samples)
    return 0


cdef int check_search(lf_status status, lf_failure failure, list errors) except -1:
    if status == LF_BAD_TARGET:
        raise DomainError("label", failure.index)
    return check(status, failure, errors)


def ctc_greedy(bint single, logits, logit_lengths, int64_t blank, bint log_probabilities, labels, lengths,
               log_probability, int nthreads):
    """One call of lf_ctc_greedy on logits of (samples, frames, classes)."""
    cdef lf_dtype dtype = LF_F32 if single else LF_F64
    cdef lf_ctc_greedy_call call
    cdef view v
    cdef list errors = []
    cdef lf_control control = control_of(nthreads, errors)
    cdef lf_failure failure
    cdef lf_status status
    memset(&call, 0, sizeof(call))
    open_frames(&call.input, &v, logits, logit_lengths, blank, log_probabilities)
    call.labels = integers(labels, call.input.samples * call.input.frames)
    call.lengths = integers(lengths, call.input.samples)
    call.log_probability = doubles(log_probability, call.input.samples)
    cdef size_t size
    check_search(lf_ctc_greedy_workspace(dtype, &call, &control, &size, &failure), failure, errors)
    cdef void *workspace = workspace_of(size)
    with nogil:
        status = lf_ctc_greedy(dtype, &call, workspace, size, &control, &failure)
        free(workspace)
    check_search(status, failure, errors)


def ctc_beam(bint single, logits, logit_lengths, int64_t blank, bint log_probabilities, size_t beam_width, size_t top,
             double class_threshold, labels, lengths, log_probability, int nthreads):
    """One call of lf_ctc_beam."""
    cdef lf_dtype dtype = LF_F32 if single else LF_F64
    cdef lf_ctc_beam_call call
    cdef view v
    cdef list errors = []
    cdef lf_control control = control_of(nthreads, errors)
    cdef lf_failure failure
    cdef lf_status status
    memset(&call, 0, sizeof(call))
    open_frames(&call.input, &v, logits, logit_lengths, blank, log_probabilities)
    call.beam_width, call.top, call.class_threshold = beam_width, top, class_threshold
    call.labels = integers(labels, call.input.samples * top * call.input.frames)
    call.lengths = integers(lengths, call.input.samples * top)
    call.log_probability = doubles(log_probability, call.input.samples * top)
    cdef size_t size
    check_search(lf_ctc_beam_workspace(dtype, &call, &control, &size, &failure), failure, errors)
    cdef void *workspace = workspace_of(size)
    with nogil:
        status = lf_ctc_beam(dtype, &call, workspace, size, &control, &failure)
        free(workspace)
    check_search(status, failure, errors)


def ctc_align(bint single, labels, label_starts, label_lengths, logits, logit_lengths, int64_t blank,
              bint log_probabilities, path, position, frame_score, start, end, score, log_probability, int nthreads):
    """One call of lf_ctc_align; DomainError for labels and lengths that are not allowed."""
    cdef lf_dtype dtype = LF_F32 if single else LF_F64
    cdef lf_ctc_align_call call
    cdef view v
    cdef list errors = []
    cdef lf_control control = control_of(nthreads, errors)
    cdef lf_failure failure
    cdef lf_status status
    memset(&call, 0, sizeof(call))
    open_frames(&call.input, &v, logits, logit_lengths, blank, log_probabilities)
    cdef size_t samples = call.input.samples
    call.nlabels = labels.size
    call.labels = integers(labels, call.nlabels)
    call.label_starts, call.label_lengths = integers(label_starts, samples), integers(label_lengths, samples)
    cdef size_t frames = samples * call.input.frames
    call.path, call.position, call.frame_score = integers(path, frames), integers(position, frames), \
        doubles(frame_score, frames)
    call.start, call.end = integers(start, call.nlabels), integers(end, call.nlabels)
    call.score, call.log_probability = doubles(score, call.nlabels), doubles(log_probability, samples)
    cdef size_t size
    check_search(lf_ctc_align_workspace(dtype, &call, &control, &size, &failure), failure, errors)
    cdef void *workspace = workspace_of(size)
    with nogil:
        status = lf_ctc_align(dtype, &call, workspace, size, &control, &failure)
        free(workspace)
    check_search(status, failure, errors)


cdef lf_in symbols(cnp.ndarray x):
    if cnp.PyArray_NDIM(x) != 1:
        raise SystemError("lossfast: an array reached the core unprepared")
    return lf_in(cnp.PyArray_DATA(x), <lf_dtype>dtype_of(x), cnp.PyArray_STRIDE(x, 0), NULL)


def edit_distance(references, reference_starts, hypotheses, hypothesis_starts, distance, counts, int nthreads):
    """One call of lf_edit; the starts are one more than there are pairs."""
    cdef lf_edit_call call
    cdef list errors = []
    cdef lf_control control = control_of(nthreads, errors)
    cdef lf_failure failure
    cdef lf_status status
    memset(&call, 0, sizeof(call))
    memset(&failure, 0, sizeof(failure))
    call.pairs = distance.size
    call.references, call.hypotheses = symbols(references), symbols(hypotheses)
    call.reference_starts = integers(reference_starts, call.pairs + 1)
    call.hypothesis_starts = integers(hypothesis_starts, call.pairs + 1)
    call.distance = integers(distance, call.pairs)
    if counts is not None:
        call.counts = integers(counts, 3 * call.pairs)
    if call.pairs and (call.reference_starts[call.pairs] > references.size
                       or call.hypothesis_starts[call.pairs] > hypotheses.size):
        raise SystemError("lossfast: sequences reached the core unprepared")
    cdef size_t size
    check(lf_edit_workspace(&call, &control, &size), failure, errors)
    cdef void *workspace = workspace_of(size)
    with nogil:
        status = lf_edit(&call, workspace, size, &control)
        free(workspace)
    check(status, failure, errors)
