// SPDX-License-Identifier: Apache-2.0
// Ctrl-C that stops an answer and not the program, and the terminal's echo meanwhile.
#define _GNU_SOURCE
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "CLineEditor.h"

static volatile sig_atomic_t interrupts, is_ending, is_silent;
static struct termios usual;

static void show_again(void) {
    if (is_silent) tcsetattr(STDIN_FILENO, TCSANOW, &usual);
    is_silent = 0;
}

static void on_interrupt(int number) {
    if (interrupts) {
        show_again();
        _exit(130);
    }
    interrupts = 1;
    if (number == SIGTERM) is_ending = 1;
}

void eft_interrupts_catch(void) {
    struct sigaction action = {.sa_handler = on_interrupt, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    // A program that is started by a thread without signals has none itself.
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    pthread_sigmask(SIG_UNBLOCK, &signals, NULL);
    atexit(show_again);
}

bool eft_interrupts_raised(void) { return interrupts != 0; }

bool eft_interrupts_ending(void) { return is_ending != 0; }

bool eft_interrupts_take(void) {
    bool was_raised = interrupts != 0;
    interrupts = 0;
    return was_raised;
}

void eft_terminal_set_echo(bool shows) {
    if (shows) {
        show_again();
        return;
    }
    if (is_silent || !isatty(STDIN_FILENO) || tcgetattr(STDIN_FILENO, &usual) != 0) return;
    struct termios silent = usual;
    silent.c_lflag &= ~(tcflag_t)(ECHO | ECHOE | ECHOK | ECHONL);
    // What is typed ahead is kept for the next line.
    if (tcsetattr(STDIN_FILENO, TCSADRAIN, &silent) == 0) is_silent = 1;
}
