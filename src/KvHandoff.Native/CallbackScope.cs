namespace KvHandoff.Native;

/// <summary>Whether this thread is in a callback of the host, which must not wait for what the library's threads have to do.</summary>
static class CallbackScope
{
    [ThreadStatic]
    static int t_depth;

    internal static bool IsInside => t_depth > 0;

    internal static void Enter() => t_depth++;

    internal static void Leave() => t_depth--;

    internal static void RequireOutside()
    {
        if (t_depth > 0) throw new StatusException(Status.Callback, "A callback of the library must not wait or close what its threads work for.");
    }
}
