/* Writes the first inputs of fuzz_safetensors to the folder named: seeds_safetensors FOLDER. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* A file with this header and n zero bytes of data. */
static int save(const char *folder, const char *name, const char *header, size_t n) {
    static const unsigned char zero[256];
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "wb");
    if (!f) return perror(path), 1;
    size_t len = strlen(header);
    for (int i = 0; i < 8; i++) fputc((int)(len >> (8 * i) & 255), f);
    fwrite(header, 1, len, f);
    fwrite(zero, 1, n, f);
    return fclose(f) ? perror(path), 1 : 0;
}

int main(int argc, char **argv) {
    if (argc != 2) return fprintf(stderr, "usage: seeds_safetensors FOLDER\n"), 2;
    int bad = save(argv[1], "empty", "{}  ", 0);
    bad |= save(argv[1], "metadata",
                "{\"__metadata__\":{\"format\":\"pt\"},\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8);
    bad |= save(
        argv[1], "two",
        "{\"b\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[4,12]},\"a\":{\"dtype\":\"BF16\",\"shape\":[1,2],\"data_offsets\":[0,4]},"
        "\"z\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}",
        12);
    bad |= save(
        argv[1], "small",
        "{\"x\":{\"dtype\":\"F4\",\"shape\":[2,3],\"data_offsets\":[0,3]},\"y\":{\"dtype\":\"F16\",\"shape\":[1],\"data_offsets\":[3,5]}}",
        5);
    bad |= save(
        argv[1], "wide",
        "{\"d\":{\"dtype\":\"F64\",\"shape\":[1],\"data_offsets\":[0,8]},\"u\":{\"dtype\":\"U64\",\"shape\":[1],\"data_offsets\":[8,16]},"
        "\"o\":{\"dtype\":\"BOOL\",\"shape\":[1],\"data_offsets\":[16,17]}}",
        17);
    bad |= save(argv[1], "dimensions", "{\"x\":{\"dtype\":\"U8\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,1]}}", 1);
    return bad;
}
