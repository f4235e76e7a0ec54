using System.Runtime.InteropServices;

namespace KvHandoff.AbiBench;

/// <summary>The exported functions, bound by name to the library that is measured.</summary>
static unsafe class Library
{
    static nint s_library;

    internal static void Load(string path) => s_library = NativeLibrary.Load(path);

    internal static nint Export(string name) => NativeLibrary.GetExport(s_library, name);

    /// <summary>Throws for a status below zero.</summary>
    internal static void Check(int status)
    {
        if (status >= 0) return;
        byte* text = stackalloc byte[512];
        nuint needed;
        ((delegate* unmanaged<ulong, byte*, nuint, nuint*, int>)Export("kvh_last_error"))(0, text, 512, &needed);
        throw new InvalidOperationException($"{status}: {Marshal.PtrToStringUTF8((nint)text)}");
    }

    internal static string Version()
    {
        byte* text = stackalloc byte[512];
        nuint needed;
        ((delegate* unmanaged<byte*, nuint, nuint*, int>)Export("kvh_version"))(text, 512, &needed);
        return Marshal.PtrToStringUTF8((nint)text)!;
    }

    internal static void Close(ulong handle) => Check(((delegate* unmanaged<ulong, int>)Export("kvh_close"))(handle));
}
