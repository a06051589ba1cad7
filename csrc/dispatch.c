/* Which kernels does this CPU run?  No mathematics here. */
#include "kernels.h"

#include <stdlib.h>
#include <string.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

#define ISA(isa) extern const kernels lf_##isa##_f32, lf_##isa##_f64;
#include "isa.def"
#undef ISA

typedef struct {
    const char *name;
    const kernels *f32, *f64;
} isa_level;

static const isa_level LEVELS[] = {
#define ISA(isa) {#isa, &lf_##isa##_f32, &lf_##isa##_f64},
#include "isa.def"
#undef ISA
};
enum { NLEVEL = sizeof LEVELS / sizeof *LEVELS };

/* What x86-64-v3 and -v4 stand for; clang 14 does not know these names in __builtin_cpu_supports,
 * nor F16C. */
static int runs_here(const char *name)
{
#if defined(__x86_64__)
    unsigned int eax, ebx, ecx = 0, edx;
    const int f16c = __get_cpuid(1, &eax, &ebx, &ecx, &edx) && (ecx & bit_F16C);
    const int v3 =
        f16c && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
    if (!strcmp(name, "avx2")) return v3;
    if (!strcmp(name, "avx512"))
        return v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
               __builtin_cpu_supports("avx512vl");
#endif
    return !strcmp(name, "base");
}

static const isa_level *find(const char *name)
{
    for (size_t i = 0; i < NLEVEL; i++)
        if (!strcmp(name, LEVELS[i].name) && runs_here(name)) return &LEVELS[i];
    return NULL;
}

static const isa_level *current;

/* Before anyone can call: no lazy initialisation, hence no race. */
__attribute__((constructor)) static void choose(void)
{
#if defined(__x86_64__)
    __builtin_cpu_init();
#endif
    const char *wanted = getenv("LOSSFAST_ISA");
    current = wanted ? find(wanted) : NULL;
    for (size_t i = 0; !current; i++) current = find(LEVELS[i].name); /* base always runs */
}

const kernels *lf_kernels(lf_dtype dtype) { return dtype == LF_F64 ? current->f64 : current->f32; }

const char *lf_isa(void) { return current->name; }

lf_status lf_set_isa(const char *name)
{
    const isa_level *level = name ? find(name) : NULL;
    if (!level) return LF_BAD_ARGUMENT;
    current = level;
    return LF_OK;
}

lf_status lf_vecmath(const char *name, lf_dtype dtype, size_t n, const void *x, void *y)
{
    const kernels *k = lf_kernels(dtype);
    for (size_t i = 0; i < k->nmap; i++)
        if (!strcmp(name, k->maps[i].name)) {
            k->maps[i].run(n, x, y);
            return LF_OK;
        }
    return LF_BAD_ARGUMENT;
}
