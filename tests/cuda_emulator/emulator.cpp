/* Runs kernels on the CPU: one block after the other, the threads of a block as
 * fibers that switch where they wait for each other.  See README.md. */
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include <sys/mman.h>
#if !defined(__x86_64__) && !defined(__aarch64__)
#include <ucontext.h>
#endif

#include "tests/cuda_emulator/emulator.h"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#endif

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace emulator {

void die(const char *format, ...)
{
    va_list arguments;

    std::fprintf(stderr, "CUDA emulator: ");
    va_start(arguments, format);
    std::vfprintf(stderr, format, arguments);
    va_end(arguments);
    std::fprintf(stderr, " (block %u,%u,%u thread %u,%u,%u)\n", blockIdx.x,
                 blockIdx.y, blockIdx.z, threadIdx.x, threadIdx.y, threadIdx.z);
    std::abort();
}

/* ---- fibers ---- */

enum { STACK_BYTES = 256 * 1024, MAX_THREADS = 1024, MAX_SHARED = 48 * 1024 };

/* A stack and where it left off. */
struct fiber {
#if defined(__x86_64__) || defined(__aarch64__)
    void *stack_pointer;
#else
    ucontext_t context;
#endif
    char *stack; /* NULL: the program's own */
    void *fake_stack;
};

#if defined(__x86_64__)
/* Save what the calling convention keeps, change stacks, restore. */
extern "C" void emulator_switch(void **save, void *stack_pointer);
asm(".text\n.globl emulator_switch\n.type emulator_switch,@function\n"
    "emulator_switch:\n"
    "pushq %rbp\npushq %rbx\npushq %r12\npushq %r13\npushq %r14\npushq %r15\n"
    "movq %rsp, (%rdi)\nmovq %rsi, %rsp\n"
    "popq %r15\npopq %r14\npopq %r13\npopq %r12\npopq %rbx\npopq %rbp\nret\n"
    ".size emulator_switch,.-emulator_switch\n");

static void *first_frame(char *top, void (*entry)())
{
    void **frame = reinterpret_cast<void **>(top) - 8; /* 6 registers */

    frame[6] = reinterpret_cast<void *>(entry);
    frame[7] = nullptr; /* the entry's return address: keeps rsp % 16 == 8 */
    return frame;
}
#elif defined(__aarch64__)
extern "C" void emulator_switch(void **save, void *stack_pointer);
asm(".text\n.globl emulator_switch\n.type emulator_switch,%function\n"
    "emulator_switch:\n"
    "sub sp, sp, #160\n"
    "stp x19, x20, [sp]\nstp x21, x22, [sp, #16]\nstp x23, x24, [sp, #32]\n"
    "stp x25, x26, [sp, #48]\nstp x27, x28, [sp, #64]\nstp x29, x30, [sp, #80]\n"
    "stp d8, d9, [sp, #96]\nstp d10, d11, [sp, #112]\n"
    "stp d12, d13, [sp, #128]\nstp d14, d15, [sp, #144]\n"
    "mov x2, sp\nstr x2, [x0]\nmov sp, x1\n"
    "ldp x19, x20, [sp]\nldp x21, x22, [sp, #16]\nldp x23, x24, [sp, #32]\n"
    "ldp x25, x26, [sp, #48]\nldp x27, x28, [sp, #64]\nldp x29, x30, [sp, #80]\n"
    "ldp d8, d9, [sp, #96]\nldp d10, d11, [sp, #112]\n"
    "ldp d12, d13, [sp, #128]\nldp d14, d15, [sp, #144]\n"
    "add sp, sp, #160\nret\n"
    ".size emulator_switch,.-emulator_switch\n");

static void *first_frame(char *top, void (*entry)())
{
    void **frame = reinterpret_cast<void **>(top) - 20;

    frame[11] = reinterpret_cast<void *>(entry); /* x30 */
    return frame;
}
#endif

static fiber scheduler;
#ifdef __SANITIZE_ADDRESS__
static const void *own_bottom; /* of the program's stack */
static size_t own_bytes;
#endif

/* Leave `from` for `to`. */
static void change(fiber *from, fiber *to)
{
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_start_switch_fiber(
        &from->fake_stack, to->stack != nullptr ? to->stack : own_bottom,
        to->stack != nullptr ? size_t(STACK_BYTES) : own_bytes);
#endif
#if defined(__x86_64__) || defined(__aarch64__)
    emulator_switch(&from->stack_pointer, to->stack_pointer);
#else
    swapcontext(&from->context, &to->context);
#endif
#ifdef __SANITIZE_ADDRESS__
    if (from->stack != nullptr)
        __sanitizer_finish_switch_fiber(from->fake_stack, &own_bottom,
                                        &own_bytes);
    else
        __sanitizer_finish_switch_fiber(from->fake_stack, nullptr, nullptr);
#endif
}

/* ---- a block ---- */

enum thread_state { NEW, READY, AT_BARRIER, IN_WARP, DONE };

struct thread {
    thread_state state;
    fiber *stack;
    const char *file; /* where it waits */
    int line;
};

struct warp {
    int arrived;
    const char *file;
    int line;
    lane_data in[LANES], out[LANES];
};

struct shared_memory {
    void *memory;
    unsigned long long block;
};

static thread threads[MAX_THREADS];
static warp warps[MAX_THREADS / LANES];
static int n_threads, current;
static fiber fibers[MAX_THREADS];
static int n_fibers;
static std::vector<fiber *> idle; /* those that wait for a thread to run */
static std::vector<shared_memory> shared_memories;
static size_t shared_bytes;
static unsigned long long block_number;
static const std::function<void()> *kernel;
static int order = -1;

static void wait_in(thread_state state, const char *file, int line)
{
    thread *mine = &threads[current];

    mine->state = state;
    mine->file = file;
    mine->line = line;
    change(mine->stack, &scheduler);
}

/* What a fiber does all its life: the thread it is given, again and again. */
static void fiber_main()
{
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_finish_switch_fiber(nullptr, &own_bottom, &own_bytes);
#endif
    for (;;) {
        fiber *own = threads[current].stack;

        (*kernel)();
        threads[current].state = DONE;
        idle.push_back(own);
        change(own, &scheduler);
    }
}

static fiber *new_fiber()
{
    fiber *made = &fibers[n_fibers++];
    void *memory = mmap(nullptr, STACK_BYTES, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (memory == MAP_FAILED)
        die("no memory for a stack");
    made->stack = static_cast<char *>(memory);
#if defined(__x86_64__) || defined(__aarch64__)
    made->stack_pointer = first_frame(made->stack + STACK_BYTES, fiber_main);
#else
    getcontext(&made->context);
    made->context.uc_stack.ss_sp = made->stack;
    made->context.uc_stack.ss_size = STACK_BYTES;
    makecontext(&made->context, fiber_main, 0);
#endif
    return made;
}

static void resume(int number)
{
    thread *next = &threads[number];

    if (next->stack == nullptr) {
        if (idle.empty())
            idle.push_back(new_fiber());
        next->stack = idle.back();
        idle.pop_back();
    }
    current = number;
    threadIdx.x = unsigned(number) % blockDim.x;
    threadIdx.y = unsigned(number) / blockDim.x % blockDim.y;
    threadIdx.z = unsigned(number) / blockDim.x / blockDim.y;
    change(&scheduler, next->stack);
}

/* No thread can go on: the barrier opens only if all wait at the same one. */
static void open_barrier()
{
    for (int i = 0; i < n_threads; i++) {
        if (threads[i].state == AT_BARRIER &&
            threads[i].line == threads[0].line &&
            threads[i].file == threads[0].file)
            continue;
        current = i;
        if (threads[i].state == DONE)
            die("thread %d ended while others wait at %s:%d", i,
                threads[0].file, threads[0].line);
        die("threads diverge: 0 waits at %s:%d, %d at %s:%d", threads[0].file,
            threads[0].line, i, threads[i].file, threads[i].line);
    }
    for (int i = 0; i < n_threads; i++)
        threads[i].state = READY;
}

/* Place `i` of `n` in the order of the day. */
static int place(int i, int n, unsigned pass)
{
    if (order == 1)
        return n - 1 - i;
    if (order == 2) /* an odd factor permutes a power of two; others: rotate */
        return (n & (n - 1)) == 0
                   ? int((unsigned(i) * (2 * pass + 5) + pass) & unsigned(n - 1))
                   : int((unsigned(i) + 7 * pass) % unsigned(n));
    return i;
}

/* Until all its threads wait for other warps, or are done: one warp is far ahead of
 * the others, which is where a missing barrier shows. */
static void run_warp(int number)
{
    const int first = number * LANES;
    const int lanes = n_threads - first < LANES ? n_threads - first : int(LANES);
    bool ran = true;

    for (unsigned pass = 0; ran; pass++) {
        ran = false;
        for (int i = 0; i < lanes; i++) {
            const int lane = first + place(i, lanes, pass);

            if (threads[lane].state != NEW && threads[lane].state != READY)
                continue;
            resume(lane);
            ran = true;
        }
    }
}

static void run_block()
{
    const int n_warps = (n_threads + LANES - 1) / LANES;

    block_number++;
    shared_bytes = 0;
    for (int i = 0; i < n_threads; i++)
        threads[i] = thread{NEW, nullptr, nullptr, 0};
    for (int i = 0; i < n_warps; i++)
        warps[i].arrived = 0;
    for (unsigned round = 0;; round++) {
        bool done = true;

        for (int i = 0; i < n_warps; i++)
            run_warp(place(i, n_warps, round));
        for (int i = 0; i < n_threads; i++)
            done = done && threads[i].state == DONE;
        if (done)
            return;
        open_barrier();
    }
}

void run_kernel(dim3 grid, dim3 block, const std::function<void()> &body)
{
    const unsigned long long blocks =
        (unsigned long long)grid.x * grid.y * grid.z;

    if (order < 0) {
        const char *wish = std::getenv("PDAG_EMULATOR_ORDER");

        order = wish != nullptr ? std::atoi(wish) : 0;
    }
    gridDim = grid;
    blockDim = block;
    n_threads = int(block.x * block.y * block.z);
    kernel = &body;
    for (unsigned long long i = 0; i < blocks; i++) {
        const unsigned long long at = order == 1 ? blocks - 1 - i : i;

        blockIdx.x = unsigned(at % grid.x);
        blockIdx.y = unsigned(at / grid.x % grid.y);
        blockIdx.z = unsigned(at / grid.x / grid.y);
        run_block();
    }
}

/* ---- what threads do together ---- */

void barrier(const char *file, int line)
{
    wait_in(AT_BARRIER, file, line);
}

void collective(const char *file, int line, compute_function *compute,
                int argument, const void *in, size_t in_bytes, void *out,
                size_t out_bytes)
{
    const int number = current;
    const int first = number / LANES * LANES;
    warp *mine = &warps[number / LANES];

    if (first + LANES > n_threads)
        die("%s:%d: a warp of %d lanes", file, line, n_threads - first);
    if (mine->arrived == 0) {
        mine->file = file;
        mine->line = line;
    } else if (mine->line != line || mine->file != file)
        die("lanes diverge: %s:%d and %s:%d", file, line, mine->file,
            mine->line);
    std::memcpy(mine->in[number % LANES], in, in_bytes);
    if (++mine->arrived < LANES)
        wait_in(IN_WARP, file, line);
    else {
        compute(mine->in, mine->out, argument);
        mine->arrived = 0;
        for (int lane = 0; lane < LANES; lane++)
            threads[first + lane].state = READY;
    }
    std::memcpy(out, mine->out[number % LANES], out_bytes);
}

void shuffle_xor(const lane_data *in, lane_data *out, int distance)
{
    for (int lane = 0; lane < LANES; lane++)
        std::memcpy(out[lane], in[lane ^ distance], sizeof(lane_data));
}

void shared(void *memory, size_t bytes)
{
    size_t i = 0;

    while (i < shared_memories.size() && shared_memories[i].memory != memory)
        i++;
    if (i == shared_memories.size())
        shared_memories.push_back(shared_memory{memory, 0});
    if (shared_memories[i].block == block_number)
        return;
    shared_memories[i].block = block_number;
    shared_bytes += bytes;
    if (shared_bytes > MAX_SHARED)
        die("%zu bytes of shared memory", shared_bytes);
    std::memset(memory, 0xff, bytes);
}

void check_aligned(const void *ptr, size_t bytes)
{
    if (reinterpret_cast<uintptr_t>(ptr) % bytes != 0)
        die("%p is not aligned to %zu bytes", ptr, bytes);
}

} // namespace emulator

extern "C" void pdag_emulator_set_order(int wish)
{
    emulator::order = wish;
}
