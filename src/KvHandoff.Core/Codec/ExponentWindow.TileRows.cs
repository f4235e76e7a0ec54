namespace KvHandoff.Codec;

public static partial class ExponentWindow
{
    /// <summary>Where the rows of a tile lie in a cache, and where their parts lie in a window tile. All offsets in bytes.</summary>
    internal readonly struct TileRows
    {
        public TileRows(int strideBytes, int tokens, int dim)
        {
            StrideBytes = tokens == 1 ? 0 : strideBytes;
            Tokens = tokens;
            Dim = dim;
        }

        public int StrideBytes { get; }

        public int Tokens { get; }

        public int Dim { get; }

        public int Values => Tokens * Dim;

        public int RawRowBytes => sizeof(ushort) * Dim;

        public int RawBytes => sizeof(ushort) * Values;

        /// <summary>Codes of one row: three bytes for every eight channels.</summary>
        public int CodeBytes => (Dim + 7) / 8 * 3;

        public int EncodedRowBytes => CodeBytes + Dim;

        public int RowOffset => WindowHeaderBytes + Dim;

        public int EscapeOffset => RowOffset + Tokens * EncodedRowBytes;

        /// <summary>Escapes at which a window is no smaller than the raw tile; zero or less where it cannot be.</summary>
        public int EscapeLimit => 1 + RawBytes - EscapeOffset;
    }
}
