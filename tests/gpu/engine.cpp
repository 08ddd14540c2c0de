// Runs the threads of a kernel's blocks one after another, each as a fiber of its own, from barrier to barrier.
//
// The order of threads and blocks is one of three, so that a missing barrier shows as a result that depends on it.
// Built with -DADDRESS or -DTHREAD beside the sanitizer of that name, switches are told to it; for the thread
// sanitizer every fiber is a thread, ordered with others by barriers and by the ends of launches alone: it finds any
// two unordered accesses to one word, within a block and between blocks.
#include <csetjmp>
#include <cstdlib>
#include <cstring>
#include <ucontext.h>
#include <vector>

typedef unsigned long long u64;

struct Index {
    unsigned x, y;
};

struct Entry {
    const char *name;
    unsigned arguments;
    void (*call)(const u64 *words);
};
extern const Entry entries[];
extern const unsigned entry_count;

#ifdef ADDRESS
extern "C" void __sanitizer_start_switch_fiber(void **, const void *, size_t);
extern "C" void __sanitizer_finish_switch_fiber(void *, const void **, size_t *);
#endif
#ifdef THREAD
extern "C" void *__tsan_get_current_fiber();
extern "C" void *__tsan_create_fiber(unsigned);
extern "C" void __tsan_switch_to_fiber(void *, unsigned);
extern "C" void __tsan_acquire(void *);
extern "C" void __tsan_release(void *);
static void acquire(void *token) { __tsan_acquire(token); }
static void release(void *token) { __tsan_release(token); }
static const unsigned WITHOUT_ORDER = 1;
#else
static void acquire(void *) {}
static void release(void *) {}
#endif

namespace {

const size_t STACK = 256 << 10;
const unsigned MOST_THREADS = 1024;
const u64 MOST_SHARED = 48 << 10;  // bytes that a launch may ask for without more ado

struct Side {  // what is switched from and to: the engine, or a fiber
    ucontext_t context;
    jmp_buf point;
    bool started = false;
    char *stack = nullptr;
    void *sanitizer = nullptr;
};

struct Fiber : Side {
    enum { IDLE, RUNNING, WAITING } state = IDLE;
};

Side engine;
std::vector<Fiber *> &fibers = *new std::vector<Fiber *>;  // lives as long as the process
Fiber *running;
const Entry *kernel;
const u64 *words;
Index thread_index, block_index, thread_count, block_count;
u64 *shared;
bool direct, diverged;
char tokens[1 << 16];
unsigned token;
u64 noise = 1;

void forever();

#ifdef ADDRESS
const void *engine_stack;
size_t engine_size;
#endif

void switch_to(Side &from, Side &to) {
#ifdef ADDRESS
    void *save;
    bool leaving = &to == static_cast<Side *>(&engine);
    __sanitizer_start_switch_fiber(&save, leaving ? engine_stack : to.stack, leaving ? engine_size : STACK);
#endif
#ifdef THREAD
    __tsan_switch_to_fiber(to.sanitizer, WITHOUT_ORDER);
#endif
#if defined(ADDRESS) || defined(THREAD)
    swapcontext(&from.context, &to.context);
#else
    // After the first time without the system calls that swapcontext makes.
    if (!_setjmp(from.point)) {
        if (to.started) _longjmp(to.point, 1);
        to.started = true;
        setcontext(&to.context);
    }
#endif
#ifdef ADDRESS
    bool back = &from == static_cast<Side *>(&engine);
    __sanitizer_finish_switch_fiber(save, back ? nullptr : &engine_stack, back ? nullptr : &engine_size);
#endif
}

Fiber *new_fiber() {
    Fiber *fiber = new Fiber;
    fiber->stack = static_cast<char *>(std::malloc(STACK));
    getcontext(&fiber->context);
    fiber->context.uc_stack.ss_sp = fiber->stack;
    fiber->context.uc_stack.ss_size = STACK;
    fiber->context.uc_link = nullptr;
    makecontext(&fiber->context, forever, 0);
#ifdef THREAD
    fiber->sanitizer = __tsan_create_fiber(0);
#endif
    return fiber;
}

void forever() {
#ifdef ADDRESS
    __sanitizer_finish_switch_fiber(nullptr, &engine_stack, &engine_size);
#endif
    for (;;) {
        Fiber *self = running;
        acquire(&kernel);
        kernel->call(words);
        release(&engine);
        self->state = Fiber::IDLE;
        switch_to(*self, engine);
    }
}

void resume(Fiber *fiber, unsigned thread) {
    thread_index = {thread, 0};
    running = fiber;
    fiber->state = Fiber::RUNNING;
    switch_to(engine, *fiber);
}

unsigned random_below(unsigned n) {
    noise = noise * 6364136223846793005ULL + 1442695040888963407ULL;
    return (noise >> 33) % n;
}

// 0: forward, 1: backward, else shuffled.
std::vector<unsigned> ordered(unsigned n, unsigned order) {
    std::vector<unsigned> out(n);
    for (unsigned i = 0; i < n; i++) out[i] = order == 1 ? n - 1 - i : i;
    if (order > 1)
        for (unsigned i = n; i > 1; i--) std::swap(out[i - 1], out[random_below(i)]);
    return out;
}

// All threads of a block, from barrier to barrier. A thread's fiber differs from block to block, so that the thread
// sanitizer does not take the same thread of two blocks for one.
bool run_block(unsigned block, unsigned order) {
    unsigned n = thread_count.x;
    auto fiber_of = [&](unsigned thread) { return fibers[(thread + block) % n]; };
    for (bool first = true;; first = false) {
        unsigned waiting = 0, ran = 0;
        for (unsigned thread : ordered(n, order)) {
            Fiber *fiber = fiber_of(thread);
            if (!first && fiber->state != Fiber::WAITING) continue;
            resume(fiber, thread);
            ran++;
            waiting += fiber->state == Fiber::WAITING;
        }
        if (waiting == 0) return true;
        if (waiting != ran) return false;
        token = (token + 1) % sizeof tokens;
    }
}

#ifndef THREAD
void run_direct(unsigned order) {
    for (unsigned thread : ordered(thread_count.x, order)) {
        thread_index = {thread, 0};
        kernel->call(words);
    }
}
#endif

}  // namespace

Index emulated_thread() { return thread_index; }
Index emulated_block() { return block_index; }
Index emulated_threads() { return thread_count; }
Index emulated_blocks() { return block_count; }
unsigned long long *emulated_shared() { return shared; }

void emulated_barrier() {
    if (direct) {
        diverged = true;
        return;
    }
    Fiber *self = running;
    char *here = &tokens[token];
    release(here);
    self->state = Fiber::WAITING;
    switch_to(*self, engine);
    acquire(here);
}

// Launches a kernel; returns what was wrong with the launch, or null.
extern "C" const char *emulate(const char *name, unsigned blocks, unsigned parts, unsigned threads, u64 shared_words,
                               const u64 *arguments, unsigned count, unsigned order) {
    kernel = nullptr;
    for (unsigned i = 0; i < entry_count; i++)
        if (!std::strcmp(entries[i].name, name)) kernel = &entries[i];
    if (!kernel) return "there is no kernel of that name";
    if (kernel->arguments != count) return "the kernel takes another number of arguments";
    if (threads < 1 || threads > MOST_THREADS) return "a block has from 1 to 1024 threads";
    if (blocks < 1 || blocks > 0x7fffffff || parts < 1 || parts > 65535) return "a grid of that size cannot be launched";
    if (8 * shared_words > MOST_SHARED) return "a block has 48 KiB of shared memory";
    words = arguments;
    engine.started = true;
    thread_count = {threads, 1}, block_count = {blocks, parts};
#ifdef THREAD
    engine.sanitizer = __tsan_get_current_fiber();
#endif
    while (fibers.size() < threads) fibers.push_back(new_fiber());
    std::vector<u64 *> kept;
    direct = diverged = false;
    bool probed = false;
    for (unsigned number : ordered(blocks * parts, order)) {
        block_index = {number % blocks, number / blocks};
        // Of exactly the size asked for, and full of nonsense.
        shared = static_cast<u64 *>(std::malloc(8 * shared_words));
        std::memset(shared, 0xa5, 8 * shared_words);
        kept.push_back(shared);
        release(&kernel);
        token = (token + 1) % sizeof tokens;
#ifndef THREAD
        // A kernel whose first block never waits needs no fibers.
        if (probed) {
            run_direct(order);
        } else {
            unsigned before = token;
            if (!run_block(number, order)) diverged = true;
            probed = direct = before == token && !diverged;
        }
        std::free(shared);
        kept.clear();
#else
        (void)probed;
        if (!run_block(number, order)) diverged = true;
#endif
        if (diverged) break;
    }
    acquire(&engine);
    for (u64 *block : kept) std::free(block);
    if (!diverged) return nullptr;
    fibers.clear();  // they wait in the middle of a kernel
    return "threads of one block do not meet at the same barriers";
}
