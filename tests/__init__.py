import signal

# What runs in the background of a shell ignores Ctrl-C, as would every process that tests start to
# see what Ctrl-C does.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
