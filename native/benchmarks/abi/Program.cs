using System.Diagnostics;
using KvHandoff.AbiBench;
using KvHandoff.Native;
using KvHandoff.Numerics;

if (args.Length < 1)
{
    Console.Error.WriteLine("AbiBench LIBKVHANDOFF.SO [calls|kernels [NAME]|transfer]");
    return 2;
}

Library.Load(args[0]);
string what = args.Length > 1 ? args[1] : "all";
Console.WriteLine($"library: {Library.Version()}; managed: .NET {Environment.Version}, {InstructionSet.Name}, {KvHandoff.Attention.AttentionKernels.InUse}");
if (what is "all" or "calls") Calls.Print();
if (what is "all" or "kernels")
{
    Console.WriteLine("| kernel | JIT GB/s | exported GB/s | exported / JIT |");
    KernelTable.Print(args.Length > 2 ? args[2] : "");
}

if (what is "all" or "transfer")
{
    Console.WriteLine("| transfer | managed GB/s | through the interface GB/s | ratio |");
    foreach (string scheme in (string[])["unix", "tcp"]) Transfer.Print(scheme);
}

return 0;
