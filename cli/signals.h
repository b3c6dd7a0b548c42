/** cli/signals.h: SIGTERM, SIGINT and SIGUSR1 end a run at a safe point: batch
 *  systems and mpirun send them before they kill. */
#ifndef PDAG_CLI_SIGNALS_H
#define PDAG_CLI_SIGNALS_H

#ifdef __cplusplus
extern "C" {
#endif

/** Block them in this thread, and in the threads that it starts: nothing is lost
 *  until one of the calls below decides. */
void pdag_signals_hold(void);

/** Let them do what they do by default: for commands that have nothing to save. */
void pdag_signals_release(void);

/** Ranks 1..: mpirun sends these to every rank, and rank 0 needs its workers while
 *  it stops; they wait for its word. */
void pdag_signals_ignore(void);

/** Only take note of them, from here on; a second SIGINT ends the process at
 *  once. */
void pdag_signals_install(void);

/** The first that came, or 0. */
int pdag_signals_requested(void);

#ifdef __cplusplus
}
#endif
#endif
