/** base/wide.h: loops over a state's elements, compiled for wider registers too. */
#ifndef PDAG_BASE_WIDE_H
#define PDAG_BASE_WIDE_H

/** Before a function of such loops: compile it also for wider registers, chosen
 *  when the program starts.  Products are not contracted (configure) and sums must
 *  have an order of their own, so the bits are the same. */
#if defined(__x86_64__) && defined(__gnu_linux__) && defined(__GNUC__) &&        \
    !defined(__clang__) && !defined(__SANITIZE_ADDRESS__) &&                     \
    !defined(__SANITIZE_THREAD__)
#define PDAG_WIDE __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define PDAG_WIDE
#endif

#endif
