#include "cli/signals.h"

#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>

static const int signals[] = {SIGTERM, SIGINT, SIGUSR1};

#define N_SIGNALS (sizeof signals / sizeof signals[0])

static volatile sig_atomic_t requested;

static void mask(int how)
{
    sigset_t set;

    sigemptyset(&set);
    for (size_t i = 0; i < N_SIGNALS; i++)
        sigaddset(&set, signals[i]);
    pthread_sigmask(how, &set, NULL);
}

/* And let those through that were held.  What a shell made its background jobs
   ignore stays ignored. */
static void set_all(void (*handler)(int))
{
    struct sigaction action;
    struct sigaction before;

    memset(&action, 0, sizeof action);
    action.sa_handler = handler;
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < N_SIGNALS; i++) {
        sigaction(signals[i], NULL, &before);
        if (signals[i] != SIGINT || before.sa_handler != SIG_IGN)
            sigaction(signals[i], &action, NULL);
    }
    mask(SIG_UNBLOCK);
}

static void take_note(int number)
{
    if (requested == 0)
        requested = number;
    if (number == SIGINT)
        signal(SIGINT, SIG_DFL);
}

void pdag_signals_hold(void)
{
    mask(SIG_BLOCK);
}

void pdag_signals_release(void)
{
    mask(SIG_UNBLOCK);
}

void pdag_signals_ignore(void)
{
    set_all(SIG_IGN);
}

void pdag_signals_install(void)
{
    requested = 0;
    set_all(take_note);
}

int pdag_signals_requested(void)
{
    return requested;
}
